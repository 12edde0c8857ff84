"""The rules of a study file: modes, axes, groups, backends, order, duplicates, exclusion.

Covers CFG-11, CFG-12, CFG-13, CFG-14, and pitfalls 1, 3, 4, 6 of sweeps.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from llem_config import StudyConfig, load_study

Load = Callable[..., StudyConfig]
Faults = Callable[..., list[str]]
MODEL = "model: builtin:tiny-llama\n"


def batch_sizes(study: StudyConfig) -> list[int | None]:
    return [item.pytorch.batch_size if item.pytorch else None for item in study.experiments]


def ns(study: StudyConfig) -> list[int]:
    return [item.n for item in study.experiments]


def test_the_example_of_the_specification_is_expanded_correctly(load: Load) -> None:
    study = load(
        """
name: batch-and-precision
base: experiment.yaml
model: builtin:tiny-llama
n: 64
sweep:
  precision: [fp32, bf16]
  decoder.temperature: [0.0, 0.7]
  pytorch.batch_size: [1, 8]
  attention:
    - {pytorch.attn_implementation: eager}
    - {pytorch.attn_implementation: sdpa, pytorch.torch_compile: true}
experiments:
  - {model: builtin:tiny-llama, pytorch.batch_size: 32}
exclude:
  - {precision: fp32, pytorch.batch_size: 8}
execution:
  n_cycles: 5
  cycle_order: interleaved
  config_gap_seconds: 30
  cycle_gap_seconds: 120
""",
        files={"experiment.yaml": "model: other\nmax_output_tokens: 16\n"},
    )
    assert (study.name, len(study.experiments), study.n_excluded) == ("batch-and-precision", 13, 4)
    assert {item.max_output_tokens for item in study.experiments} == {16}
    assert {item.model for item in study.experiments} == {"builtin:tiny-llama"}
    assert batch_sizes(study)[-1] == 32
    assert study.execution.n_cycles == 5
    assert study.execution.cycle_gap_seconds == 120


def test_a_file_with_neither_sweep_nor_experiments_is_one_point(load: Load) -> None:
    assert ns(load(MODEL + "n: 3\n")) == [3]


def test_a_grid_is_the_product_of_its_axes(load: Load) -> None:
    study = load(MODEL + "sweep: {n: [1, 2], pytorch.batch_size: [1, 8, 32]}\n")
    assert list(zip(ns(study), batch_sizes(study), strict=True)) == list(
        product([1, 2], [1, 8, 32])
    )


@pytest.mark.parametrize(
    "extra", ["", "n: 7\n", "pytorch: {batch_size: 4}\n", "backend: pytorch\n"]
)
def test_experiments_without_sweep_add_no_extra_point(load: Load, extra: str) -> None:
    study = load(MODEL + extra + "experiments: [{random_seed: 1}, {random_seed: 2}]\n")
    assert [item.random_seed for item in study.experiments] == [1, 2]


def test_explicit_entries_come_after_the_grid_in_file_order(load: Load) -> None:
    study = load(MODEL + "experiments: [{n: 9}, {n: 5}]\nsweep: {n: [2, 1]}\n")
    assert ns(study) == [2, 1, 9, 5]


def test_backends_are_outermost_and_the_last_axis_is_the_fastest(load: Load) -> None:
    study = load(MODEL + "sweep: {random_seed: [1, 2], n: [1, 2]}\nbackend: [vllm, pytorch]\n")
    fields = [(item.backend, item.random_seed, item.n) for item in study.experiments]
    assert fields == list(product(["vllm", "pytorch"], [1, 2], [1, 2]))


def test_a_dotted_key_nests_to_any_depth(load: Load) -> None:
    study = load(MODEL + "passthrough_kwargs.a.b.c: 1\nsweep: {passthrough_kwargs.a.b.d: [2]}\n")
    assert study.experiments[0].passthrough_kwargs == {"a": {"b": {"c": 1, "d": 2}}}


def test_a_key_that_begins_with_decoder_is_a_field_and_not_a_backend(load: Load) -> None:
    study = load(MODEL + "backend: [pytorch, vllm]\nsweep: {decoder.temperature: [0, 0.5]}\n")
    assert [item.decoder.temperature for item in study.experiments] == [0.0, 0.5] * 2


def test_each_backend_gets_the_product_of_the_common_axes_and_its_own(load: Load) -> None:
    study = load(
        MODEL
        + "backend: [pytorch, vllm]\n"
        + "pytorch: {batching: sorted}\nvllm: {max_num_seqs: 4}\n"
        + "sweep: {n: [1, 2], pytorch.batch_size: [1, 2, 4], vllm.block_size: [8, 16]}\n"
    )
    pytorch = [item for item in study.experiments if item.backend == "pytorch"]
    assert (len(pytorch), len(study.experiments)) == (6, 10)
    assert all(item.pytorch and item.pytorch.batching == "sorted" for item in pytorch)
    vllm = [item for item in study.experiments if item.backend == "vllm"]
    assert all(item.vllm and item.vllm.max_num_seqs == 4 and not item.pytorch for item in vllm)


def test_an_axis_over_backends_equals_a_list_of_backends(load: Load) -> None:
    listed = load(MODEL + "backend: [pytorch, vllm]\nsweep: {n: [1, 2]}\n")
    swept = load(MODEL + "sweep: {n: [1, 2], backend: [pytorch, vllm]}\n")
    assert swept.experiments == listed.experiments


def test_a_group_belongs_to_the_backends_whose_sections_it_sets(load: Load) -> None:
    study = load(
        MODEL
        + """
backend: [pytorch, vllm]
sweep:
  kind:
    - {pytorch.batch_size: 4, n: 5}
    - {vllm.block_size: 8}
    - {pytorch.batch_size: 2, vllm.block_size: 16}
    - {n: 6}
"""
    )
    fields = [
        (item.n, item.pytorch and item.pytorch.batch_size, item.vllm and item.vllm.block_size)
        for item in study.experiments
    ]
    assert fields == [
        (5, 4, None),
        (100, 2, None),
        (6, None, None),
        (100, None, 8),
        (100, None, 16),
        (6, None, None),
    ]


def test_a_group_may_fix_a_field_that_another_axis_varies(load: Load) -> None:
    study = load(
        MODEL
        + "sweep:\n  pytorch.batch_size: [1, 8]\n"
        + "  draft: [{}, {pytorch.batch_size: 1, pytorch.prompt_lookup_num_tokens: 4}]\n"
    )
    assert (batch_sizes(study), study.n_duplicates) == ([1, 1, 8], 1)


def test_a_field_with_mappings_as_values_is_not_a_group(load: Load) -> None:
    study = load(MODEL + "sweep: {decoder: [{temperature: 0.5}, {preset: factual}]}\n")
    assert [item.decoder.temperature for item in study.experiments] == [0.5, 0.3]


def test_a_scalar_axis_is_one_value(load: Load) -> None:
    assert ns(load(MODEL + "sweep: {n: 3, random_seed: [1, 2]}\n")) == [3, 3]


def test_a_list_of_lists_sweeps_a_field_that_is_a_list(load: Load) -> None:
    study = load(MODEL + "sweep: {energy.sources: [[nvml], [rapl, none]]}\n")
    assert [item.energy.sources for item in study.experiments] == [("nvml",), ("rapl", "none")]


def test_a_point_whose_phases_cannot_be_separated_is_skipped_with_the_reason(load: Load) -> None:
    text = "energy.phases: [prefill, decode]\nsweep: {max_output_tokens: [1, 2]}\n"
    study = load(MODEL + text)
    assert [item.max_output_tokens for item in study.experiments] == [2]
    (skipped,) = study.skipped
    assert "the phase decode needs max_output_tokens >= 2" in skipped.reason


def test_an_explicit_entry_may_use_another_backend_with_its_section(load: Load) -> None:
    study = load(
        MODEL
        + "pytorch.batch_size: 2\nvllm.block_size: 8\nsweep: {n: [1]}\n"
        + "experiments:\n  - {backend: vllm, vllm.max_num_seqs: 4}\n  - {pytorch.batching: sorted}\n"
    )
    assert [item.backend for item in study.experiments] == ["pytorch", "vllm", "pytorch"]
    assert study.experiments[1].model_dump(exclude_none=True)["vllm"] == {
        "max_num_seqs": 4,
        "block_size": 8,
    }
    assert batch_sizes(study) == [2, None, 2]


def test_duplicate_points_are_dropped_and_counted(load: Load) -> None:
    study = load(MODEL + "sweep: {n: [1, 2, 1]}\nexperiments: [{n: 2}, {n: 3}, {n: 3}]\n")
    assert (ns(study), study.n_duplicates) == ([1, 2, 3], 3)


def test_points_are_never_multiplied_by_cycles(load: Load) -> None:
    study = load(MODEL + "sweep: {n: [1, 2]}\nexecution: {n_cycles: 3}\n")
    assert (len(study.experiments), study.execution.n_cycles) == (2, 3)


@pytest.mark.parametrize(
    "rule",
    [
        "{n: 1}",
        "{n: 1, precision: bf16}",  # a default
        "{n: 1, weights: random}",  # a default that follows from the model
        "{n: 1, dataset: synthetic}",
        "{n: 1, dataset: {source: synthetic}}",
        "{n: 1, energy.sources: [nvml, rapl]}",
        "{n: 1, decoder.temperature: 0.3}",  # what the preset stands for
        "{n: 1, decoder: {preset: factual, do_sample: true}}",
        "{n: 1, backend: pytorch, pytorch.batch_size: null}",
    ],
)
def test_exclude_drops_and_counts_points_that_match_every_key(load: Load, rule: str) -> None:
    study = load(MODEL + f"decoder.preset: factual\nsweep: {{n: [1, 2]}}\nexclude: [{rule}]\n")
    assert (ns(study), study.n_excluded) == ([2], 1)


@pytest.mark.parametrize(
    "rule", ["{n: 1, precision: fp16}", "{n: 3}", "{n: 1, decoder.do_sample: false}"]
)
def test_exclude_keeps_points_that_match_only_some_keys(load: Load, rule: str) -> None:
    study = load(MODEL + f"decoder.temperature: 1\nsweep: {{n: [1, 2]}}\nexclude: [{rule}]\n")
    assert (ns(study), study.n_excluded) == ([1, 2], 0)


def test_exclude_leaves_explicit_entries_alone(load: Load) -> None:
    study = load(MODEL + "sweep: {n: [1, 2]}\nexperiments: [{n: 1}]\nexclude: [{n: 1}]\n")
    assert ns(study) == [2, 1]


def test_true_in_exclude_does_not_mean_1(faults: Faults) -> None:
    text = MODEL + "sweep: {n: [1, 2]}\nexclude: [{n: true}]\n"
    assert faults(text) == [
        "study.yaml:3:15: exclude[0].n: expected a whole number >= 1, found true"
    ]


def test_an_incompatible_point_is_skipped_with_its_reason(load: Load) -> None:
    study = load(
        MODEL
        + "sweep: {precision: [fp32, bf16], pytorch.attn_implementation: [sdpa, flash_attention_2]}\n"
    )
    assert len(study.experiments) == 3
    (skipped,) = study.skipped
    assert skipped.reason == "flash attention needs fp16 or bf16, not fp32"
    assert skipped.config["precision"] == "fp32"
    assert skipped.config["pytorch"] == {"attn_implementation": "flash_attention_2"}


def test_a_mistake_is_never_recorded_as_incompatible(faults: Faults) -> None:
    text = MODEL + "sweep: {pytorch.load_in_4bit: [true], pytorch.load_in_8bit: [true, 8]}\n"
    assert faults(text) == [
        "study.yaml:2:68: sweep.pytorch.load_in_8bit[1]: expected true or false, found 8"
    ]


def test_a_study_of_only_incompatible_points_is_an_error_with_the_reasons(faults: Faults) -> None:
    text = MODEL + "backend: vllm\nprecision: fp32\nsweep: {n: [1, 2]}\n"
    assert faults(text) == [
        "study.yaml: no point of this study can run: vllm does not support fp32"
    ]


def test_excluding_every_point_is_an_error(faults: Faults) -> None:
    text = MODEL + "sweep: {n: [1, 2]}\nexclude: [{precision: bf16}]\n"
    assert faults(text) == ["study.yaml: no point of this study can run: exclude drops every point"]


def test_too_many_points_are_counted_without_building_them(faults: Faults) -> None:
    values = ", ".join(map(str, range(1, 101)))
    axes = "".join(f"  {key}: [{values}]\n" for key in ("n", "random_seed", "max_output_tokens"))
    more = "".join(f"  decoder.{key}: [{values}]\n" for key in ("top_k", "min_new_tokens"))
    assert faults(MODEL + "sweep:\n" + axes + more) == [
        "study.yaml:2:1: sweep: expected at most 10000 points (max_experiments), found 10000000000; "
        "sweep fewer values or raise max_experiments"
    ]


def test_max_experiments_changes_the_limit(load: Load, faults: Faults) -> None:
    text = MODEL + "sweep: {n: [1, 2]}\nexperiments: [{n: 3}]\nmax_experiments: "
    assert len(load(text + "3\n").experiments) == 3
    assert faults(text + "2\n") == [
        "study.yaml:2:1: sweep: expected at most 2 points (max_experiments), found 3; "
        "sweep fewer values or raise max_experiments"
    ]


def test_sweeps_are_resolved_on_plain_data_before_any_validation(load: Load) -> None:
    text = MODEL + "decoder: {top_k: 3}\nsweep: {decoder.preset: [factual, creative]}\n"
    # The explicit key overrides the preset, although the sweep is the higher layer.
    assert [item.decoder.top_k for item in load(text).experiments] == [3, 3]
    incomplete = "sweep: {model: [a, b], lora.adapter: [x, y]}\nlora: {merge_weights: true}\n"
    fields = [
        (item.model, item.lora and item.lora.adapter) for item in load(incomplete).experiments
    ]
    assert fields == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]


def test_a_file_may_have_a_grid_and_an_explicit_list(load: Load) -> None:
    assert ns(load(MODEL + "sweep: {n: [1, 2]}\nexperiments: [{n: 3}]\n")) == [1, 2, 3]


def test_a_key_that_is_no_field_and_has_only_mappings_is_a_group(load: Load) -> None:
    study = load(MODEL + "sweep: {pair: [{n: 1, random_seed: 1}, {n: 2, decoder.top_k: 2}]}\n")
    fields = [(item.n, item.random_seed, item.decoder.top_k) for item in study.experiments]
    assert fields == [(1, 1, None), (2, 42, 2)]


@pytest.mark.parametrize(
    "key", ["vllm.block_size: [8]", "kind: [{vllm.block_size: 8}]", "vllm: [{block_size: 8}]"]
)
def test_a_scoped_key_of_an_unused_backend_is_an_error(faults: Faults, key: str) -> None:
    (fault,) = faults(MODEL + f"sweep:\n  n: [1]\n  {key}\n")
    assert fault.startswith("study.yaml:4:")
    assert fault.endswith("this study does not use vllm, only pytorch")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sweep:\n  n: []", "sweep.n: "),
        ("sweep:\n  n:", "sweep.n: "),
        ("sweep:\n  n: [null]", "sweep.n[0]: "),
        ("n: 1\nn: 2", "n: "),
        ("sweep: {n: [1]}\nsweeep: 1", "sweeep: "),
        ("sweep: {n: [1],\n  m: [1]}", "sweep.m: "),
    ],
)
def test_faults_of_an_axis_name_key_and_line(faults: Faults, text: str, key: str) -> None:
    (fault,) = faults(MODEL + text + "\n")
    place, _, rest = fault.partition(": ")
    assert place.startswith("study.yaml:3:")
    assert rest.startswith(key)


def test_a_product_of_10_to_the_12_points_is_counted(faults: Faults) -> None:
    values = list(range(1, 11))
    keys = ("n", "random_seed", "max_input_tokens", "max_output_tokens", "warmup.n_warmup",
            "warmup.max_warmup", "pytorch.batch_size", "pytorch.num_beams", "decoder.top_k",
            "pytorch.no_repeat_ngram_size", "pytorch.prompt_lookup_num_tokens",
            "decoder.min_new_tokens")  # fmt: skip
    (fault,) = faults(MODEL + "sweep:\n" + "".join(f"  {key}: {values}\n" for key in keys))
    assert "found 1000000000000;" in fault


def test_excluded_points_may_be_incompatible(load: Load) -> None:
    study = load(
        MODEL
        + "sweep: {precision: [fp32, bf16], pytorch.attn_implementation: [sdpa, flash_attention_2]}\n"
        + "exclude: [{precision: fp32, decoder.do_sample: false, energy.sources: [nvml, rapl]}]\n"
    )
    assert (len(study.experiments), study.n_excluded, study.skipped) == (2, 2, ())


def test_a_rule_of_exclude_that_matches_no_point_is_a_warning(load: Load, tmp_path: Path) -> None:
    text = MODEL + "sweep: {n: [1, 2]}\nexclude:\n  - {n: 1}\n  - {n: 1, precision: bf16}\n"
    study = load(text + "  - {n: 3}\n  - {n: 2, precision: fp16}\n")
    assert study.n_excluded == 1
    problem = "this rule matches no point; compare its values with those of the sweep"
    assert study.warnings == (
        f"{tmp_path}/study.yaml:6:5: exclude[2]: {problem}",
        f"{tmp_path}/study.yaml:7:5: exclude[3]: {problem}",
    )
    assert load(text).warnings == ()


def test_warnings_are_not_stored(load: Load) -> None:
    study = load(MODEL + "sweep: {n: [1, 2]}\nexclude: [{n: 3}]\n")
    assert study.warnings
    assert "warnings" not in study.model_dump_json()


def test_a_data_set_in_its_short_form_keeps_its_source_when_another_field_is_swept(
    load: Load,
) -> None:
    study = load(
        MODEL.replace("builtin:tiny-llama", "org/m")
        + "dataset: prompts.jsonl\nsweep: {dataset.chat_template: [auto, none]}\n"
    )
    datasets = [item.dataset for item in study.experiments]
    assert [item.source for item in datasets] == ["prompts.jsonl", "prompts.jsonl"]
    assert [item.chat_template for item in datasets] == ["auto", "none"]


def test_a_rule_that_names_the_source_matches_a_data_set_in_its_short_form(load: Load) -> None:
    study = load(
        MODEL.replace("builtin:tiny-llama", "org/m")
        + "sweep: {dataset: [a.jsonl, b.jsonl]}\nexclude: [{dataset.source: a.jsonl}]\n"
    )
    assert [item.dataset.source for item in study.experiments] == ["b.jsonl"]


def test_a_wrong_source_in_its_short_form_is_found_at_its_place(faults: Faults) -> None:
    (fault,) = faults(MODEL + "dataset: ''\nsweep: {dataset.column: [a, b]}\n")
    assert fault.startswith("study.yaml:2:10: dataset.source: ")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("\u00e9tude \u00e9nergie \u6e2c\u5b9a", "etude-energie"),
        ("\u6e2c\u5b9a", "study"),
        ("_a b-", "a-b"),
    ],
)
def test_the_name_of_a_file_in_any_script_gives_a_name_that_can_be_read(
    tmp_path: Path, file: str, name: str
) -> None:
    path = tmp_path / f"{file}.yaml"
    path.write_text("model: builtin:tiny-llama\n")
    assert load_study(path).name == name
