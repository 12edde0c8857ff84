"""A study folder as one table: complete, running, interrupted, failed and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report.study_data.folders import edit_manifest, make_folder

from llem_config import ExperimentConfig
from llem_energy import MeasurementError
from llem_energy.records import Quality
from llem_report import ReportError
from llem_report._study_data.read import read_study_data
from llem_report._study_data.study_data import StudyData
from llem_runner import Control

SWEEP = "sweep: {precision: [fp32, bf16], n: [2, 1]}\n"


def energy(config: ExperimentConfig, number: int) -> dict[str, Any]:
    """2 J per token at n=1, 1 J at n=2, twice that in bf16."""
    value = 2.0 / config.n * (2 if config.precision == "bf16" else 1)
    return {"energy_per_output_token_j": value}


def test_a_study_is_read_with_its_factors_points_and_runs(tmp_path: Path) -> None:
    data = read_study_data(make_folder(tmp_path, SWEEP, energy))
    assert (data.name, data.status, data.by, data.n_cycles) == ("study", "completed", "axis", 2)
    assert (data.is_running, data.cycle_order) == (False, "shuffled")
    assert [(factor.key, factor.levels) for factor in data.factors] == [
        ("precision", ("fp32", "bf16")),
        ("n", ("1", "2")),  # numbers ascend
    ]
    assert [point.levels for point in data.points] == [(0, 1), (0, 0), (1, 1), (1, 0)]
    assert [run.index for run in data.runs] == list(range(1, 9))
    assert {run.cycle for run in data.runs} == {1, 2}
    expected = {(0, 0): 2.0, (0, 1): 1.0, (1, 0): 4.0, (1, 1): 2.0}
    for run in data.runs:
        assert run.value == expected[data.points[run.point].levels]  # type: ignore[index]
        assert (run.status, run.quality, run.used, run.reasons) == ("completed", "ok", True, ())
    assert data.figure.name == "energy_per_output_token_j"
    assert (data.problems, data.reason, data.dropped) == ((), None, ())
    assert data.points[0].config["n"] == 2


def test_both_ways_to_find_factors_give_the_same_for_a_plain_grid(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP)
    axes, fields = read_study_data(folder), read_study_data(folder, by="field")
    assert axes.factors == fields.factors[::-1]  # fields are in alphabetical order
    assert [point.levels for point in axes.points] == [p.levels[::-1] for p in fields.points]
    assert (axes.by, fields.by) == ("axis", "field")


def test_without_energy_the_figure_is_tokens_per_second(tmp_path: Path) -> None:
    missing = Quality("missing", ("no energy was measured",))
    folder = make_folder(
        tmp_path,
        SWEEP,
        lambda *_: {
            "energy_per_output_token_j": None,
            "figures": {"energy_per_output_token_j": missing},
        },
    )
    data = read_study_data(folder)
    assert (data.figure.name, data.figure.lower_is_better) == ("tokens_per_second", False)
    assert {run.value for run in data.runs} == {50.0}


def test_runs_without_the_energy_that_others_have_are_missing(tmp_path: Path) -> None:
    missing = Quality("missing", ("the GPU was lost",))
    no_energy = {
        "energy_per_output_token_j": None,
        "figures": {"energy_per_output_token_j": missing},
    }
    folder = make_folder(tmp_path, SWEEP, lambda _, number: no_energy if number == 3 else {})
    data = read_study_data(folder)
    lost = [run for run in data.runs if not run.used]
    assert len(data.used_runs) == 7
    assert [(run.quality, run.value, run.reasons) for run in lost] == [
        ("missing", None, ("the GPU was lost",))
    ]
    assert lost[0].facts is not None
    assert lost[0].facts.values["tokens_per_second"] == 50.0


def test_a_flagged_figure_takes_part_with_its_reasons(tmp_path: Path) -> None:
    flagged = {"figures": {"energy_per_output_token_j": Quality("flagged", ("other load",))}}
    data = read_study_data(make_folder(tmp_path, SWEEP, lambda *_: flagged))
    assert {(run.quality, run.reasons, run.used) for run in data.runs} == {
        ("flagged", ("other load",), True)
    }


def test_a_figure_of_0_or_less_takes_no_part_and_is_counted(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path, SWEEP, lambda _, number: {"energy_adjusted_j": 5.0 - 10 * (number < 3)}
    )
    data = read_study_data(folder, figure="energy_adjusted_per_output_token_j")
    assert sorted(run.value for run in data.runs if run.value is not None)[:3] == [-0.1, -0.1, 0.1]
    assert len(data.used_runs) == 6
    assert "2 runs have a figure of 0 or less, of which there is no ratio; left out" in data.caveats


def fail(config: ExperimentConfig, number: int) -> dict[str, Any]:
    if config.precision == "bf16":
        raise MeasurementError("no bf16 here")
    return {}


def test_failed_runs_have_their_error_as_reason(tmp_path: Path) -> None:
    data = read_study_data(make_folder(tmp_path, SWEEP, fail))
    failed = [run for run in data.runs if run.status == "failed"]
    assert data.status == "failed"
    assert len(failed) == 4
    assert {(run.quality, run.value, run.facts, run.reasons) for run in failed} == {
        ("missing", None, None, ("MeasurementError: no bf16 here",))
    }
    assert [factor.key for factor in data.factors] == ["precision", "n"]


def test_a_study_whose_runs_all_failed_can_be_read(tmp_path: Path) -> None:
    def always(config: ExperimentConfig, number: int) -> dict[str, Any]:
        raise MeasurementError("no GPU")

    folder = make_folder(tmp_path, SWEEP, always)
    data = read_study_data(folder)
    assert (data.used_runs, data.figure.name) == ((), "tokens_per_second")
    assert read_study_data(folder, figure="power_mean_w").figure.name == "power_mean_w"


def test_an_interrupted_study_has_pending_runs(tmp_path: Path) -> None:
    control = Control()

    def stop(config: ExperimentConfig, number: int) -> dict[str, Any]:
        if number == 3:
            control.request_stop()
        return {}

    data = read_study_data(make_folder(tmp_path, SWEEP, stop, control=control))
    assert data.status == "interrupted"
    pending = [run for run in data.runs if run.status == "pending"]
    assert pending
    assert {(run.quality, run.reasons, run.started_at) for run in pending} == {
        ("missing", (), None)
    }
    assert len(data.points) == 4


def test_a_run_in_progress_when_its_process_was_killed_is_interrupted(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP)

    def kill(manifest: dict[str, Any]) -> None:
        manifest["status"] = "running"
        manifest["entries"][5] |= {"status": "running", "result_file": None}

    edit_manifest(folder, kill)
    data = read_study_data(folder)
    assert (data.status, data.is_running, data.protocol) == ("running", False, None)
    assert data.runs[5].status == "interrupted"
    assert len(data.used_runs) == 7


def result_file(folder: Path, index: int) -> Path:
    manifest = json.loads((folder / "manifest.json").read_text())
    return folder / str(manifest["entries"][index - 1]["result_file"])


@pytest.mark.parametrize("damage", ["cut", "other format", "gone", "another run"])
def test_a_result_that_cannot_be_used_is_one_line_with_its_path(
    tmp_path: Path, damage: str
) -> None:
    folder = make_folder(tmp_path, SWEEP)
    data = read_study_data(folder)
    path = result_file(folder, 2)
    other = next(run for run in data.runs if run.point != data.runs[1].point)
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:100])
        case "other format":
            path.write_text('{"schema_version": 99}')
        case "gone":
            path.unlink()
        case _:
            path.write_bytes(result_file(folder, other.index).read_bytes())
    data = read_study_data(folder)
    (problem,) = data.problems
    assert str(path) in problem
    assert "\n" not in problem
    run = data.runs[1]
    assert (run.quality, run.used, run.reasons, run.facts) == ("missing", False, (problem,), None)
    assert len(data.used_runs) == 7
    assert any("is not the file that the run wrote" in caveat for caveat in data.caveats)


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_without_the_resolved_study_factors_come_from_the_results(
    tmp_path: Path, damage: str
) -> None:
    folder = make_folder(tmp_path, SWEEP)
    path = folder / "study_resolved.json"
    path.unlink() if damage == "gone" else path.write_text("{")
    data = read_study_data(folder)
    assert (data.by, data.execution, len(data.points)) == ("field", None, 4)
    assert {factor.key for factor in data.factors} == {"precision", "n"}
    assert any("study_resolved.json is" in problem for problem in data.problems)
    assert data.cycle_order == "shuffled"  # from the protocol of the result


def test_a_damaged_study_result_is_a_line(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP)
    (folder / "study_result.json").write_text("[]")
    data = read_study_data(folder)
    assert data.protocol is None
    assert len(data.used_runs) == 8
    assert ["study_result.json" in problem for problem in data.problems] == [True]


def test_a_folder_without_recorded_axes_is_read_by_field(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP)
    path = folder / "study_resolved.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in stored.items() if k not in ("factors", "levels")}))
    data = read_study_data(folder)
    assert data.by == "field"
    assert [factor.key for factor in data.factors] == ["n", "precision"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"energy_source": "rapl"},
         "the runs were metered by different meters (nvml: 7 runs, rapl: 1 run), "
         "which measure different devices"),
        ({"prompts_sha256": "1" * 64}, "not all runs measured the same files: run "),
    ],
)  # fmt: skip
def test_runs_that_may_not_be_compared_are_a_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    folder = make_folder(tmp_path, SWEEP, lambda _, number: changes if number == 8 else {})
    data = read_study_data(folder)
    assert data.reason is not None
    assert data.reason.startswith(reason)


def test_different_meters_do_not_matter_to_a_figure_of_time(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path, SWEEP, lambda _, number: {"energy_source": "rapl"} if number == 8 else {}
    )
    assert read_study_data(folder, figure="tokens_per_second").reason is None


def test_different_devices_are_a_caveat(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path, SWEEP, lambda _, number: {"energy_per_device_j": {f"GPU-{number % 2}": 1.0}}
    )
    caveat = "the runs were metered on different devices, so their gain errors do not cancel"
    assert caveat in read_study_data(folder).caveats
    assert caveat not in read_study_data(folder, figure="tokens_per_second").caveats


def test_outliers_are_those_of_the_study(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path,
        SWEEP,
        lambda _, number: {"energy_per_output_token_j": 9.0 if number == 9 else 2 + number / 1e4},
        n_cycles=6,
    )
    data = read_study_data(folder)
    assert [run.index for run in data.runs if run.is_outlier] == [9]
    other = read_study_data(folder, figure="tokens_per_second")
    assert not any(run.is_outlier for run in other.runs)


def test_a_repeated_run_after_its_cycle_is_a_caveat(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP)

    def later(manifest: dict[str, Any]) -> None:
        manifest["entries"][0]["started_at"] = "2100-01-01T00:00:00+00:00"

    edit_manifest(folder, later)
    assert any("repeated after their cycle" in caveat for caveat in read_study_data(folder).caveats)


def test_the_cycles_of_a_sequential_study_are_no_repeats(tmp_path: Path) -> None:
    order = ", cycle_order: sequential"
    data = read_study_data(make_folder(tmp_path, SWEEP, execution=order))
    assert [run.cycle for run in data.runs] == [1, 2] * 4
    assert data.cycle_order == "sequential"
    assert not any("repeated" in caveat for caveat in data.caveats)


def refused(folder: Path, **options: Any) -> str:
    with pytest.raises(ReportError) as error:
        read_study_data(folder, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_each_bad_input_is_one_sentence(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP)
    assert "no such folder" in refused(tmp_path / "nothing")
    assert "contains the study folder" in refused(folder.parent)
    assert "expected the name of a figure, found 'joules'; use" in refused(folder, figure="joules")
    misspelt = refused(folder, figure="token_per_second")
    assert "found 'token_per_second'; did you mean tokens_per_second? All names: " in misspelt
    assert "expected axis or field, found 'row'" in refused(folder, by="row")
    no_run = refused(folder, figure="inter_token_latency_s")
    assert "no run has inter_token_latency_s; the runs have energy_per_output_token_j, " in no_run
    (folder / "manifest.json").write_text("{")
    assert "manifest.json" in refused(folder)


def test_a_manifest_without_runs_can_be_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, SWEEP)
    edit_manifest(folder, lambda manifest: manifest.update(entries=[]))
    data: StudyData = read_study_data(folder)
    assert (data.points, data.runs, data.factors) == ((), (), ())
