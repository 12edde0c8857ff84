"""Studies of every shape: their factors, their nesting, their points and their runs."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fakes.results import make_result
from fakes.studies import only_folder
from report.study_data.folders import edit_manifest, make_folder
from report.tables.folders import write_folder

from llem_config import ExperimentConfig, load_study
from llem_report._study_data.read import By, read_study_data
from llem_report._study_data.study_data import StudyData
from llem_runner import Control, resume_study
from llem_runner._executors.inline import InlineExecutor

GRID = "sweep: {precision: [fp32, bf16], n: [1, 2]}\n"


def planned(parent: Path, text: str, n_cycles: int = 2) -> Path:
    """Return the folder of a study file whose runs are all completed; nothing was measured."""
    file = parent / "study.yaml"
    file.write_text(f"model: builtin:tiny-llama\n{text}")
    study = load_study(file)
    return write_folder(
        parent / "grid", study, ["completed"] * len(study.experiments) * n_cycles, n_requests=1
    )


def read(parent: Path, text: str, n_cycles: int = 2, by: By = "axis") -> StudyData:
    return read_study_data(planned(parent, text, n_cycles), by=by)


def keys(data: StudyData) -> list[str]:
    return [factor.key for factor in data.factors]


def levels(data: StudyData, key: str) -> list[str | None]:
    """Return the level of a factor at each point."""
    position = keys(data).index(key)
    labels = data.factors[position].levels
    rows = [point.levels[position] for point in data.points]
    return [None if level is None else labels[level] for level in rows]


@pytest.mark.parametrize("by", ["axis", "field"])
def test_one_point_has_no_factor(tmp_path: Path, by: By) -> None:
    data = read(tmp_path, "n: 1\n", by=by)
    assert (data.factors, data.dropped, len(data.points)) == ((), (), 1)
    assert [run.cycle for run in data.used_runs] == [1, 2]
    assert data.points[0].levels == ()


@pytest.mark.parametrize("by", ["axis", "field"])
def test_one_factor(tmp_path: Path, by: By) -> None:
    data = read(tmp_path, "sweep: {pytorch.batch_size: [8, 32, 16]}\n", by=by)
    (factor,) = data.factors
    assert (factor.key, factor.levels, factor.numeric) == (
        "pytorch.batch_size", ("8", "16", "32"), True,
    )  # fmt: skip
    assert levels(data, "pytorch.batch_size") == ["8", "32", "16"]


def test_one_cycle(tmp_path: Path) -> None:
    data = read(tmp_path, GRID, n_cycles=1)
    assert (data.n_cycles, len(data.used_runs)) == (1, 4)


def test_settings_of_a_backend_are_nested_in_the_backend(tmp_path: Path) -> None:
    data = read(
        tmp_path,
        "sweep:\n"
        "  precision: [bf16, fp16]\n"
        "  backend: [pytorch, vllm]\n"
        "  pytorch.torch_compile: [true, false]\n"
        "  vllm.block_size: [16, 32]\n",
    )
    assert {factor.key: factor.nested_in for factor in data.factors} == {
        "precision": (),
        "backend": (),
        "pytorch.torch_compile": ("backend",),
        "vllm.block_size": ("backend",),
    }
    assert len(data.points) == 8
    for backend, compile_, size in zip(
        levels(data, "backend"),
        levels(data, "pytorch.torch_compile"),
        levels(data, "vllm.block_size"),
        strict=True,
    ):
        assert (compile_ is None, size is None) == (backend == "vllm", backend == "pytorch")


def test_a_group_is_one_factor_by_axis_and_its_fields_are_factors_by_field(tmp_path: Path) -> None:
    text = (
        "sweep:\n"
        "  n: [1, 2]\n"
        "  attention:\n"
        "    - {pytorch.attn_implementation: eager}\n"
        "    - {pytorch.attn_implementation: sdpa}\n"
        "    - {pytorch.attn_implementation: sdpa, pytorch.torch_compile: true}\n"
    )
    folder = planned(tmp_path, text)
    data = read_study_data(folder)
    assert {factor.key: factor.levels for factor in data.factors} == {
        "n": ("1", "2"),
        "attention": ("eager", "sdpa", "sdpa+torch_compile"),
    }
    assert sorted(keys(read_study_data(folder, by="field"))) == [
        "n", "pytorch.attn_implementation", "pytorch.torch_compile",
    ]  # fmt: skip


def test_a_group_whose_fields_change_together_is_one_factor_by_field_too(tmp_path: Path) -> None:
    data = read(
        tmp_path,
        "sweep:\n"
        "  n: [1, 2]\n"
        "  fast:\n"
        "    - {precision: fp32, pytorch.batch_size: 1}\n"
        "    - {precision: bf16, pytorch.batch_size: 8}\n",
        by="field",
    )
    assert keys(data) == ["n", "precision+pytorch.batch_size"]
    assert set(levels(data, "precision+pytorch.batch_size")) == {
        "fp32+batch_size=1", "bf16+batch_size=8",
    }  # fmt: skip


def test_a_study_of_explicit_points_only_is_read_by_field(tmp_path: Path) -> None:
    data = read(
        tmp_path,
        "experiments:\n  - {n: 1, precision: fp32}\n  - {n: 2, precision: fp32}\n"
        "  - {n: 2, precision: bf16}\n",
    )
    assert (data.by, keys(data)) == ("field", ["n", "precision"])
    assert levels(data, "precision") == ["fp32", "fp32", "bf16"]


def test_an_explicit_point_has_levels_of_the_sweep_and_new_ones(tmp_path: Path) -> None:
    data = read(tmp_path, GRID + "experiments: [{n: 8}, {n: 1, precision: bf16}]\n")
    assert data.by == "axis"
    assert data.factors[keys(data).index("n")].levels[-1] == "8"
    assert len(data.points) == 5  # the second one is a point of the sweep
    assert levels(data, "n")[-1] == "8"


def test_twelve_factors(tmp_path: Path) -> None:
    fields = {
        "n": "[1, 2]", "precision": "[fp32, bf16]", "max_input_tokens": "[8, 16]",
        "max_output_tokens": "[4, 8]", "pytorch.batch_size": "[1, 2]",
        "pytorch.attn_implementation": "[eager, sdpa]", "pytorch.torch_compile": "[true, false]",
        "pytorch.use_safetensors": "[true, false]", "pytorch.use_cache": "[true, false]",
        "decoder.repetition_penalty": "[1.0, 1.1]", "pytorch.no_repeat_ngram_size": "[1, 2]",
        "decoder.ignore_eos": "[true, false]",
    }  # fmt: skip
    # One point more than there are factors: each one differs from the first in one field.
    first = {key: value[1:-1].split(", ")[0] for key, value in fields.items()}
    second = {key: value[1:-1].split(", ")[1] for key, value in fields.items()}
    points = [first, *(first | {key: second[key]} for key in fields)]
    lines = [", ".join(f"{key}: {value}" for key, value in point.items()) for point in points]
    text = "experiments:\n" + "".join(f"  - {{{line}}}\n" for line in lines)
    data = read(tmp_path, text)
    assert sorted(keys(data)) == sorted(fields)
    assert [len(factor.levels) for factor in data.factors] == [2] * 12
    assert len(data.points) == 13


def test_a_gap_in_the_indices_of_the_runs_is_kept(tmp_path: Path) -> None:
    folder = planned(tmp_path, GRID)

    def drop(manifest: dict[str, Any]) -> None:
        del manifest["entries"][2:4]

    edit_manifest(folder, drop)
    data = read_study_data(folder)
    assert [run.index for run in data.runs] == [1, 2, 5, 6, 7, 8]
    assert len(data.points) == 4
    assert [data.points[run.point].config["n"] for run in data.runs] == [1, 2, 1, 2, 1, 2]


def test_a_resumed_study_has_all_its_runs(tmp_path: Path) -> None:
    control = Control()

    def stop(config: ExperimentConfig, number: int) -> dict[str, Any]:
        if number == 3:
            control.request_stop()
        return {}

    folder = make_folder(tmp_path, GRID, stop, control=control)
    assert len(read_study_data(folder).used_runs) == 2  # the third is interrupted
    resume_study(folder, measure=measure, executor=InlineExecutor())
    data = read_study_data(folder)
    assert (data.status, len(data.used_runs)) == ("completed", 8)
    assert not any("repeated after their cycle" in caveat for caveat in data.caveats)


def measure(config: ExperimentConfig, **_: Any) -> Any:
    return make_result(config)


def test_a_study_that_is_running_is_read_while_it_runs(tmp_path: Path) -> None:
    seen: list[StudyData] = []

    def look(config: ExperimentConfig, number: int) -> dict[str, Any]:
        if number == 4:
            seen.append(read_study_data(only_folder(tmp_path / "results")))
        return {}

    make_folder(tmp_path, GRID, look)
    (data,) = seen
    assert (data.status, data.is_running, data.protocol) == ("running", True, None)
    assert len(data.used_runs) == 3
    assert sorted({run.status for run in data.runs}) == ["completed", "pending", "running"]
    assert all("weights are random" in caveat for caveat in data.caveats)


def test_all_combinations_are_points_with_their_levels(tmp_path: Path) -> None:
    data = read(tmp_path, GRID)
    pairs = list(zip(levels(data, "precision"), levels(data, "n"), strict=True))
    assert sorted(pairs) == sorted(product(("fp32", "bf16"), ("1", "2")))
