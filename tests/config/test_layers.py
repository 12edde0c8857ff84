"""Which layer wins, how layers merge, and that points share no value.

Covers CFG-12, CFG-15 and CFG-18 to CFG-20, and pitfalls 2, 7 and 9 of sweeps.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llem_config import (
    ConfigError,
    ExecutionConfig,
    ExperimentConfig,
    StudyConfig,
    load_experiment,
    load_study,
)
from llem_config.overrides import override, parse_value

Load = Callable[..., StudyConfig]
Faults = Callable[..., list[str]]
MODEL = "model: builtin:tiny-llama\n"

N_OF_LAYER = {"defaults": 11, "base": 12, "top": 13, "sweep": 14, "overrides": 16}


def load_with(load: Load, layers: set[str], entry: int | None = None) -> StudyConfig:
    """Set `n` in exactly these layers."""
    n = N_OF_LAYER
    text = MODEL + ("base: base.yaml\n" if "base" in layers else "")
    text += f"n: {n['top']}\n" if "top" in layers else ""
    text += f"sweep: {{n: [{n['sweep']}]}}\n" if "sweep" in layers else ""
    text += f"experiments: [{{n: {entry}}}]\n" if entry else ""
    return load(
        text,
        files={"base.yaml": f"n: {n['base']}\n"},
        defaults={"n": n["defaults"]} if "defaults" in layers else None,
        overrides={"n": n["overrides"]} if "overrides" in layers else None,
    )


@pytest.mark.parametrize(
    ("layers", "wins"),
    [
        (set(), 100),
        ({"defaults"}, 11),
        ({"defaults", "base"}, 12),
        ({"defaults", "base", "top"}, 13),
        ({"defaults", "base", "top", "sweep"}, 14),
        ({"defaults", "base", "top", "overrides"}, 16),
    ],
)
def test_the_highest_layer_that_sets_a_field_wins(load: Load, layers: set[str], wins: int) -> None:
    assert load_with(load, layers).experiments[0].n == wins


def test_an_explicit_entry_wins_over_all_layers_below_the_command_line(load: Load) -> None:
    assert load_with(load, {"defaults", "base", "top"}, entry=15).experiments[0].n == 15
    assert load_with(load, {"top", "overrides"}, entry=15).experiments[0].n == 16


def test_mappings_merge_deeply_across_layers(load: Load) -> None:
    study = load(
        MODEL + "base: base.yaml\npytorch: {batching: sorted}\nsweep: {pytorch.batch_size: [2]}\n",
        files={"base.yaml": "pytorch: {use_cache: true, batching: static}\n"},
        defaults={"pytorch": {"device": "cpu"}},
        overrides={"pytorch": {"revision": "abc"}},
    )
    (point,) = study.experiments
    assert point.pytorch is not None
    assert point.pytorch.model_dump(exclude_none=True) == {
        "batch_size": 2,
        "batching": "sorted",
        "device": "cpu",
        "use_cache": True,
        "revision": "abc",
    }


def test_a_section_and_dotted_keys_of_it_merge_in_either_order(load: Load) -> None:
    first = load(MODEL + "pytorch: {batching: sorted}\npytorch.batch_size: 2\n")
    second = load(MODEL + "pytorch.batch_size: 2\npytorch: {batching: sorted}\n")
    assert first.experiments == second.experiments
    assert first.experiments[0].pytorch is not None
    assert first.experiments[0].pytorch.batching == "sorted"


def test_points_do_not_share_a_fixed_section(load: Load) -> None:
    study = load(MODEL + "pytorch: {batching: sorted}\nsweep: {pytorch.batch_size: [1, 8, 32]}\n")
    assert [item.pytorch and item.pytorch.batch_size for item in study.experiments] == [1, 8, 32]


def test_no_mutable_value_is_shared_between_two_points(load: Load) -> None:
    study = load(
        MODEL
        + "passthrough_kwargs: {a: {b: [1]}}\n"
        + "pytorch: {device_map: auto, max_memory: {0: 1GiB}}\nsweep: {n: [1, 2]}\n"
    )
    first, second = study.experiments
    assert first.passthrough_kwargs is not None
    assert first.pytorch is not None
    assert first.pytorch.max_memory is not None
    first.passthrough_kwargs["a"]["b"].append(2)
    first.pytorch.max_memory["1"] = "9GiB"
    assert second.passthrough_kwargs == {"a": {"b": [1]}}
    assert second.pytorch is not None
    assert second.pytorch.max_memory == {"0": "1GiB"}


def test_loading_changes_neither_defaults_nor_overrides(load: Load) -> None:
    defaults: dict[str, Any] = {"decoder": {"temperature": 0.5}, "execution": {"n_cycles": 2}}
    overrides: dict[str, Any] = {"decoder": {"top_k": 5}}
    load(MODEL + "decoder.top_p: 0.9\n", defaults=defaults, overrides=overrides)
    assert defaults == {"decoder": {"temperature": 0.5}, "execution": {"n_cycles": 2}}
    assert overrides == {"decoder": {"top_k": 5}}


def test_an_override_reaches_every_point_of_grid_and_list(load: Load) -> None:
    study = load(
        MODEL + "sweep: {n: [1, 2]}\nexperiments: [{n: 3, pytorch.batch_size: 1}]\n",
        overrides=override("pytorch.batch_size", 8),
    )
    assert [item.pytorch and item.pytorch.batch_size for item in study.experiments] == [8, 8, 8]


@pytest.mark.parametrize(
    ("sweep", "key"),
    [
        ("pytorch.batch_size: [1, 8]", "pytorch.batch_size"),
        ("kind: [{n: 5}, {pytorch.batch_size: 4}]", "pytorch.batch_size"),
        ("pytorch: [{batch_size: 1}, {batch_size: 8}]", "pytorch.batch_size"),
        ("backend: [pytorch, vllm]", "backend"),
    ],
)
def test_an_override_of_a_swept_key_is_an_error_that_says_so(
    faults: Faults, sweep: str, key: str
) -> None:
    value = "vllm" if key == "backend" else 3
    (fault,) = faults(MODEL + f"sweep:\n  {sweep}\n", overrides=override(key, value))
    assert fault.startswith(f"<command line>: {key}: this key is swept in ")
    assert fault.endswith("study.yaml:3; change it there")


def test_an_override_may_select_one_of_several_backends(load: Load) -> None:
    text = MODEL + "backend: [pytorch, vllm]\nsweep: {n: [1, 2]}\n"
    study = load(text, overrides=override("backend", "vllm"))
    assert [item.backend for item in study.experiments] == ["vllm", "vllm"]


@pytest.mark.parametrize("key", ["sweep.n", "base", "experiments", "exclude"])
def test_an_override_cannot_change_the_shape_of_a_study(faults: Faults, key: str) -> None:
    (fault,) = faults(MODEL + "sweep: {n: [1]}\n", overrides=override(key, 3))
    first = key.split(".")[0]
    assert fault == f"<command line>: {first}: this key can only be set in a study file"


def test_name_and_execution_and_limit_can_be_overridden(load: Load, faults: Faults) -> None:
    text = MODEL + "name: a\nsweep: {n: [1, 2]}\nmax_experiments: 1\nexecution: {n_cycles: 2}\n"
    layer = {"name": "b", "max_experiments": 2, "execution": {"n_cycles": 7}}
    study = load(text, overrides=layer)
    assert (study.name, study.execution.n_cycles, len(study.experiments)) == ("b", 7, 2)
    (fault,) = faults(text, overrides={"max_experiments": 0})
    assert fault == "<command line>: max_experiments: expected a whole number >= 1, found 0"


def test_defaults_lose_to_the_file_and_win_over_the_model(load: Load) -> None:
    layer = {"execution": {"n_cycles": 3}}
    assert load(MODEL).execution.n_cycles == 1
    assert load(MODEL, defaults=layer).execution.n_cycles == 3
    assert load(MODEL + "execution: {n_cycles: 2}\n", defaults=layer).execution.n_cycles == 2


def test_experiment_gap_seconds_is_another_name_of_config_gap_seconds(load: Load) -> None:
    study = load(MODEL + "execution: {experiment_gap_seconds: 7}\n")
    assert study.execution.config_gap_seconds == 7
    again = load(MODEL + "execution: {experiment_gap_seconds: 7}\n", overrides={
        "execution": {"config_gap_seconds": 0.0}
    })  # fmt: skip
    assert again.execution.config_gap_seconds == 0
    assert ExecutionConfig.model_validate({"experiment_gap_seconds": 7.0}) == ExecutionConfig(
        config_gap_seconds=7.0
    )


def test_the_path_of_base_is_relative_to_the_study_file(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load("base: b.yaml\n", files={"b.yaml": MODEL + "n: 5\n"}).experiments[0].n == 5


def test_the_default_name_is_the_stem_of_the_file_without_unsafe_characters(tmp_path: Path) -> None:

    path = tmp_path / ".my study (2).yaml"
    path.write_text(MODEL)
    assert load_study(path).name == "my-study-2"


def test_an_experiment_file_is_read_with_base_and_overrides(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(MODEL + "n: 5\n")
    path = tmp_path / "experiment.yaml"
    path.write_text("base: base.yaml\nname: mine\nprecision: fp16\n")
    config = load_experiment(str(path), overrides=override("decoder.top_k", 5))
    assert (config.n, config.precision, config.decoder.top_k) == (5, "fp16", 5)


@pytest.mark.parametrize(
    ("text", "layer", "problem"),
    [
        ("sweep: {n: 1}\n", None, "this key belongs to a study; run the file with `study run`"),
        ("execution: {}\n", None, "this key belongs to a study; run the file with `study run`"),
        ("", {"execution": {"n_cycles": 3}}, "this key can only be set in a study file"),
        ("backend: vllm\nprecision: fp32\n", None, "vllm does not support fp32"),
        (
            "vllm.block_size: 3\n",
            None,
            "this section needs backend vllm, but the backend is pytorch; change one",
        ),
    ],
)
def test_a_file_that_is_not_one_experiment_is_an_error(
    tmp_path: Path, text: str, layer: dict[str, Any] | None, problem: str
) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(MODEL + text)
    with pytest.raises(ConfigError, match=problem.split(";")[0]):
        load_experiment(path, overrides=layer)


def test_a_study_made_in_python_drops_and_counts_duplicates() -> None:
    first, same, other = (ExperimentConfig(model="m", n=n) for n in (1, 1, 2))
    study = StudyConfig(experiments=(first, same, other), execution=ExecutionConfig(n_cycles=3))
    assert (study.experiments, study.n_duplicates) == ((first, other), 1)


def test_a_study_is_the_same_after_json(load: Load) -> None:
    study = load(
        MODEL
        + "name: trip\npassthrough_kwargs: {a: [1, {b: null}], 1: x}\n"
        + "pytorch: {device_map: auto, max_memory: {0: 1GiB, cpu: 2GiB}}\n"
        + "sweep: {n: [1, 2, 2], energy.sources: [[nvml], [none]], precision: [bf16, fp32],\n"
        + "  pytorch.attn_implementation: [sdpa, flash_attention_2]}\n"
        + "exclude: [{n: 1, precision: fp32}]\n"
        + "execution: {n_cycles: 2, cycle_order: shuffled, shuffle_seed: 3, timeout_seconds: 5}\n"
    )
    assert study.skipped
    assert study.n_excluded
    again = StudyConfig.model_validate_json(study.model_dump_json())
    assert again.model_dump() == study.model_dump()
    assert again.study_design_hash == study.study_design_hash
    assert again.config_hashes == study.config_hashes


def test_a_copy_with_other_experiments_has_other_hashes(load: Load) -> None:
    study = load(MODEL + "sweep: {n: [1, 2]}\n")
    half = study.model_copy(update={"experiments": study.experiments[:1]})
    assert half.study_design_hash == load(MODEL + "n: 1\n").study_design_hash
    assert half.config_hashes == study.config_hashes[:1]


def test_flag_values_are_read_as_in_a_study_file() -> None:
    assert parse_value("8") == 8
    assert parse_value("1e-5") == 1e-5
    assert parse_value("[1, on]") == [1, "on"]
    assert parse_value("null") is None
    with pytest.raises(ConfigError, match="not valid YAML"):
        parse_value("[1")


def test_the_text_of_the_file_is_kept_for_the_results(load: Load) -> None:
    text = "# why\n" + MODEL
    assert load(text).source == text


def test_a_tilde_in_a_model_path_is_kept(load: Load) -> None:
    study = load("model: ~/models/x\n")
    assert study.experiments[0].model == "~/models/x"
    assert os.path.expanduser("~") not in study.experiments[0].model  # noqa: PTH111  # a string


def test_loading_leaves_unset_gaps_unset(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLEM_EXECUTION__CONFIG_GAP_SECONDS", "7")
    execution = load(MODEL + "execution: {cycle_gap_seconds: 3}\n").execution
    assert (execution.config_gap_seconds, execution.cycle_gap_seconds) == (None, 3)
    assert load(MODEL, overrides={"execution": {"config_gap_seconds": 1}}).execution == (
        ExecutionConfig(config_gap_seconds=1.0)
    )


@pytest.mark.parametrize(
    "gap", ["config_gap_seconds", "experiment_gap_seconds", "cycle_gap_seconds"]
)
def test_defaults_may_not_set_a_gap(faults: Faults, gap: str) -> None:
    assert faults(MODEL, defaults={"execution": {gap: 5.0, "n_cycles": 3}}) == [
        f"<defaults>: execution.{gap}: "
        "the settings of the machine give the default of a gap; set it there"
    ]
