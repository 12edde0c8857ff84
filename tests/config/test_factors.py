"""The factors of a study: the axes as written, and the level of every point.

Covers CFG-12, CFG-13, CFG-14 and CFG-16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from llem_config import ExperimentConfig, Factor, StudyConfig, measurement_config_hash

Load = Callable[..., StudyConfig]
MODEL = "model: builtin:tiny-llama\n"
ATTENTION = """
  attention:
    - {pytorch.attn_implementation: eager}
    - {pytorch.attn_implementation: sdpa, pytorch.torch_compile: true}
"""


def levels_of(study: StudyConfig, key: str) -> list[str | None]:
    """Return the label of a factor at each point."""
    position = [factor.key for factor in study.factors].index(key)
    labels = study.factors[position].levels
    levels = [row[position] for row in study.levels]
    return [None if level is None else labels[level] for level in levels]


def labels(study: StudyConfig) -> dict[str, tuple[str, ...]]:
    return {factor.key: factor.levels for factor in study.factors}


def test_factors_are_the_axes_in_file_order_with_their_values_as_labels(load: Load) -> None:
    study = load(MODEL + "sweep: {precision: [fp32, bf16], pytorch.batch_size: [8, 1]}\n")
    assert study.factors == (
        Factor(key="precision", levels=("fp32", "bf16"), numeric=False),
        Factor(key="pytorch.batch_size", levels=("8", "1"), numeric=True),
    )
    assert study.levels == ((0, 0), (0, 1), (1, 0), (1, 1))


def test_a_group_is_one_factor_labelled_by_what_differs(load: Load) -> None:
    study = load(MODEL + "sweep:" + ATTENTION)
    assert labels(study) == {"attention": ("eager", "sdpa+torch_compile")}
    assert not study.factors[0].numeric


@pytest.mark.parametrize(
    ("alternatives", "expected"),
    [
        ("[{n: 1, precision: bf16}, {n: 2, precision: bf16}]", ("1", "2")),
        ("[{n: 1}, {n: 1, precision: bf16}]", ("n=1", "n=1+bf16")),
        ("[{n: 1, precision: fp32}, {n: 2, precision: bf16}]", ("n=1+fp32", "n=2+bf16")),
        ("[{}, {decoder.ignore_eos: false}]", ("default", "false")),
        ("[{n: 1, decoder.ignore_eos: true}, {n: 1, decoder.ignore_eos: false}]",
         ("ignore_eos", "no_ignore_eos")),
        ("[{model: a, weights: random}, {model: b, weights: random}]", ("a", "b")),
        ("[{lora: null, n: 1}, {lora.adapter: x, n: 2}]", ("no_lora+n=1", "n=2+x")),
        ("[{model: x, lora.adapter: y}, {model: y, lora.adapter: x}]", ("x+y", "y+x")),
    ],
)  # fmt: skip
def test_the_label_of_an_alternative_is_short_and_plain(
    load: Load, alternatives: str, expected: tuple[str, ...]
) -> None:
    assert labels(load(MODEL + f"sweep: {{kind: {alternatives}}}\n")) == {"kind": expected}


@pytest.mark.parametrize(
    ("axis", "expected", "numeric"),
    [
        ("decoder.temperature: [0.5, 1, 2.0]", ("0.5", "1", "2.0"), True),
        ("pytorch.batch_size: [null, 8]", ("default", "8"), False),
        ("decoder.ignore_eos: [true, false]", ("true", "false"), False),
        ("energy.phases: [[prefill], [prefill, decode]]", ("prefill", "prefill+decode"), False),
        ("dataset: [synthetic, {source: synthetic, column: a}]", None, False),
        ("passthrough_kwargs.x: [1, '1', true]", ("1", "1 #2", "true"), False),
        ("passthrough_kwargs.x: ['', 'a b']", ("''", "a b"), False),
    ],
)
def test_values_of_every_kind_have_a_label(
    load: Load, axis: str, expected: tuple[str, ...] | None, numeric: bool
) -> None:
    (factor,) = load(MODEL + f"sweep: {{{axis}}}\n").factors
    assert factor.numeric is numeric
    assert len(set(factor.levels)) == len(factor.levels)
    if expected is not None:
        assert factor.levels == expected


def test_equal_values_of_an_axis_are_one_level(load: Load) -> None:
    study = load(MODEL + "sweep: {decoder.temperature: [0.5, 1, 0.5, 1.0], n: [1, 2]}\n")
    assert labels(study)["decoder.temperature"] == ("0.5", "1")
    assert levels_of(study, "decoder.temperature") == ["0.5", "0.5", "1", "1"]
    assert study.n_duplicates == 4


def test_invisible_characters_and_long_texts_are_made_safe_to_show(load: Load) -> None:
    study = load(
        MODEL + 'sweep: {"a\\u202eb": [{n: 1}, {n: 2}], passthrough_kwargs.x: ["\\e[31m", '
        + f'"{"y" * 300}1", "{"y" * 300}2"]}}\n'
    )  # fmt: skip
    assert study.factors[0].key == r"a\u202eb"
    red, *long = study.factors[1].levels
    assert red == r"\x1b[31m"
    assert long[0] != long[1]
    assert max(map(len, long)) < 70


def test_backends_are_the_first_factor_and_axes_of_one_backend_do_not_exist_at_others(
    load: Load,
) -> None:
    sweep = "sweep: {n: [1, 2], pytorch.batch_size: [4], vllm.block_size: [8, 16]}\n"
    study = load(MODEL + "backend: [pytorch, vllm]\n" + sweep)
    assert list(labels(study)) == ["backend", "n", "pytorch.batch_size", "vllm.block_size"]
    assert levels_of(study, "backend") == ["pytorch"] * 2 + ["vllm"] * 4
    assert levels_of(study, "pytorch.batch_size") == ["4"] * 2 + [None] * 4
    assert levels_of(study, "vllm.block_size") == [None] * 2 + ["8", "16"] * 2


def test_an_axis_over_backends_is_the_same_factor_as_a_list_of_backends(load: Load) -> None:
    listed = load(MODEL + "backend: [pytorch, vllm]\nsweep: {n: [1, 2]}\n")
    swept = load(MODEL + "sweep: {n: [1, 2], backend: [pytorch, vllm]}\n")
    assert (swept.factors, swept.levels) == (listed.factors, listed.levels)


def test_an_alternative_for_another_backend_keeps_its_position(load: Load) -> None:
    study = load(
        MODEL + "backend: [pytorch, vllm]\nsweep:\n  kind:\n"
        "    - {pytorch.batch_size: 4}\n    - {vllm.block_size: 8}\n    - {n: 6}\n"
    )
    assert study.levels == ((0, 0), (0, 2), (1, 1), (1, 2))


def test_excluded_and_skipped_points_leave_the_levels_of_the_others(load: Load) -> None:
    study = load(
        MODEL + "backend: [vllm, pytorch]\nsweep: {precision: [fp32, bf16], n: [1, 2]}\n"
        "exclude: [{precision: bf16, n: 1}]\n"
    )
    assert (study.n_excluded, len(study.skipped)) == (2, 2)  # vllm has no fp32
    assert levels_of(study, "backend") == ["vllm", *["pytorch"] * 3]
    assert levels_of(study, "precision") == ["bf16", "fp32", "fp32", "bf16"]
    assert levels_of(study, "n") == ["2", "1", "2", "2"]


def test_a_factor_without_effect_at_a_point_does_not_exist_there(load: Load) -> None:
    study = load(MODEL + "sweep: {decoder.temperature: [0, 0.7], decoder.top_k: [5, 10]}\n")
    assert levels_of(study, "decoder.temperature") == ["0", "0.7", "0.7"]
    assert levels_of(study, "decoder.top_k") == [None, "5", "10"]


def test_flags_keep_the_factors_and_no_single_backend_is_one(load: Load) -> None:
    text = MODEL + "backend: [pytorch, vllm]\nsweep: {precision: [bf16, fp16]}\n"
    study = load(text, overrides={"backend": "vllm", "n": 3})
    assert labels(study) == {"precision": ("bf16", "fp16")}
    assert levels_of(study, "precision") == ["bf16", "fp16"]


def entries(load: Load, sweep: str, *points: str) -> StudyConfig:
    lines = "".join(f"  - {point}\n" for point in points)
    return load(MODEL + sweep + "experiments:\n" + lines)


def test_an_explicit_point_has_the_level_whose_fields_it_has(load: Load) -> None:
    study = entries(
        load,
        "sweep:\n  precision: [fp32, bf16]" + ATTENTION,
        "{n: 7, precision: fp32, pytorch: {attn_implementation: eager}}",
        "{n: 7, pytorch: {attn_implementation: sdpa, torch_compile: true}}",
    )
    # bf16 is the default of a point that does not set its precision.
    assert levels_of(study, "precision")[-2:] == ["fp32", "bf16"]
    assert levels_of(study, "attention")[-2:] == ["eager", "sdpa+torch_compile"]


def test_the_most_specific_alternative_wins(load: Load) -> None:
    sweep = """sweep:
  attention:
    - {pytorch.attn_implementation: sdpa}
    - {pytorch.attn_implementation: sdpa, pytorch.torch_compile: true}
"""
    study = entries(
        load,
        sweep,
        "{n: 7, pytorch: {attn_implementation: sdpa, torch_compile: true}}",
        "{n: 7, pytorch: {attn_implementation: sdpa, torch_compile: false}}",
    )
    assert labels(study)["attention"] == ("sdpa", "sdpa+torch_compile")
    assert levels_of(study, "attention")[-2:] == ["sdpa+torch_compile", "sdpa"]


def test_an_explicit_point_with_other_values_has_a_new_level(load: Load) -> None:
    study = entries(
        load,
        "sweep:\n  n: [1, 2]" + ATTENTION,
        "{n: 7, pytorch: {attn_implementation: sdpa}}",
        "{n: 7, pytorch: {attn_implementation: sdpa, batch_size: 2}}",
    )
    assert labels(study) == {"n": ("1", "2", "7"), "attention": ("eager", "sdpa+torch_compile", "sdpa")}  # fmt: skip
    assert study.levels[-2:] == ((2, 2), (2, 2))
    assert study.factors[0].numeric


def test_an_explicit_point_without_the_section_of_a_factor_has_no_level(load: Load) -> None:
    study = entries(load, "sweep: {lora.adapter: [x, y]}\n", "{n: 7}", "{n: 7, lora.adapter: z}")
    assert levels_of(study, "lora.adapter") == ["x", "y", None, "z"]


def test_an_alternative_that_sets_nothing_is_the_level_of_points_that_set_nothing(
    load: Load,
) -> None:
    sweep = "sweep: {compiled: [{}, {pytorch.torch_compile: true}]}\n"
    study = entries(load, sweep, "{n: 7}", "{n: 8, pytorch.torch_compile: false}")
    assert levels_of(study, "compiled") == ["default", "true", "default", "false"]


def test_explicit_points_of_several_backends_have_levels_of_their_backend(load: Load) -> None:
    study = entries(
        load,
        "backend: [pytorch, vllm]\nsweep: {vllm.block_size: [8, 16]}\n",
        "{backend: pytorch, n: 7}",
        "{backend: vllm, n: 7, vllm.block_size: 16}",
        "{backend: tensorrt, n: 7}",
    )
    assert levels_of(study, "backend") == ["pytorch", "vllm", "vllm", "pytorch", "vllm", "tensorrt"]
    assert levels_of(study, "vllm.block_size") == [None, "8", "16", None, "16", None]


def test_a_preset_matches_a_point_that_spells_it_out(load: Load) -> None:
    study = entries(
        load,
        "sweep: {decoder.preset: [deterministic, factual]}\n",
        "{n: 7, decoder: {temperature: 0.3, top_k: 10}}",
        "{n: 7, decoder.preset: creative}",
        "{n: 7, decoder.temperature: 0.5}",
    )
    assert levels_of(study, "decoder.preset")[2:] == ["factual", "creative", "temperature=0.5"]


def test_an_explicit_point_that_repeats_one_of_the_sweep_keeps_its_level(load: Load) -> None:
    study = entries(load, "sweep: {n: [1, 2], random_seed: [3, 4]}\n", "{n: 2, random_seed: 3}")
    assert (study.n_duplicates, len(study.levels)) == (1, 4)
    assert study.levels == ((0, 0), (0, 1), (1, 0), (1, 1))


@pytest.mark.parametrize("text", ["", "experiments: [{n: 1}, {n: 2}]\n", "backend: [pytorch]\n"])
def test_a_study_without_sweep_has_no_factors(load: Load, text: str) -> None:
    study = load(MODEL + text)
    assert (study.factors, study.levels) == ((), ())
    assert {"factors", "levels"} & study.model_dump().keys() == set()


def test_factors_are_stored_and_read_back_and_change_no_hash(load: Load) -> None:
    study = load(MODEL + "sweep: {pytorch.batch_size: [1, 8]}\n")
    assert study.study_design_hash == "f10050db1b3c5e90"
    stored = StudyConfig.model_validate_json(study.model_dump_json())
    assert (stored.factors, stored.levels) == (study.factors, study.levels)
    assert stored.config_hashes == tuple(map(measurement_config_hash, study.experiments))


def points(*ns: int) -> tuple[ExperimentConfig, ...]:
    return tuple(ExperimentConfig(model="m", n=n) for n in ns)


def test_a_copy_with_some_of_the_points_keeps_their_levels(load: Load) -> None:
    study = load(MODEL + "sweep: {n: [1, 2, 3]}\n")
    part = study.model_copy(update={"experiments": study.experiments[:0:-1]})
    assert (part.factors, part.levels) == (study.factors, ((2,), (1,)))
    other = study.model_copy(update={"experiments": points(9)})
    assert (other.factors, other.levels) == ((), ())
    assert StudyConfig.model_validate(part.model_dump()).levels == part.levels


FACTOR = {"key": "n", "levels": ["1", "2"], "numeric": True}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"levels": [[0], [1], [1]]}, "the levels of 2 points, found those of 3"),
        ({"levels": [[0], [2]]}, "the position of a level, < 2, found 2"),
        ({"levels": [[0], [0, 1]]}, "a level for each of the 1 factors, found 2"),
        ({}, "the levels of 2 points, found those of 0"),
        ({"levels": [[0], [-1]]}, "greater than or equal to 0"),
    ],
)
def test_levels_that_do_not_fit_the_factors_are_refused(
    fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        StudyConfig.model_validate({"experiments": points(1, 2), "factors": [FACTOR], **fields})
