"""A whole study through the public API (LA-02, LA-05, STU-NEW-01, RES-13, RES-15, RES-NEW-01)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import experiment, only_folder, study

from llem_config import ExperimentConfig, Settings, StudyConfig
from llem_energy import ExperimentResult, read_result
from llem_runner import (
    StudyError,
    StudyResult,
    read_manifest,
    read_study_result,
    run_experiment,
    run_study,
)
from llem_runner.events import (
    Event,
    GapEnded,
    GapStarted,
    PreflightWarning,
    RunFailed,
    RunFinished,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
)


def pids(folder: Path, result: StudyResult) -> list[int]:
    return [read_result(folder / f).effective_config["pid"] for f in result.result_files]


def test_a_study_leaves_exactly_the_documented_folder(tmp_path: Path) -> None:
    study_config = study((1, 2), n_cycles=2, cycle_order="interleaved")
    result = run_study(study_config, output=tmp_path / "results", measure=measures.quick)
    folder = only_folder(tmp_path / "results")
    first, second = (config_hash[:8] for config_hash in study_config.config_hashes)
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert files == [
        ".lock",
        f"0001_c1_tiny-llama_{first}/log.txt",
        f"0001_c1_tiny-llama_{first}/result.json",
        f"0002_c1_tiny-llama_{second}/log.txt",
        f"0002_c1_tiny-llama_{second}/result.json",
        f"0003_c2_tiny-llama_{first}/log.txt",
        f"0003_c2_tiny-llama_{first}/result.json",
        f"0004_c2_tiny-llama_{second}/log.txt",
        f"0004_c2_tiny-llama_{second}/result.json",
        "manifest.json",
        "study_resolved.json",
        "study_result.json",
    ]
    assert result == read_study_result(folder)
    assert result.status == "completed"
    assert [str(Path(f).parent) for f in result.result_files] == [f[:-8] for f in files[1:9:2]]
    manifest = read_manifest(folder)
    assert manifest.status == "completed"
    assert [entry.result_file for entry in manifest.entries] == list(result.result_files)
    resolved = StudyConfig.model_validate_json((folder / "study_resolved.json").read_text())
    assert resolved.study_design_hash == study_config.study_design_hash == result.study_design_hash


def test_a_study_file_is_kept_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("# my words\nmodel: builtin:tiny-llama\nn: 3\n")
    run_study(file, output=tmp_path / "results", measure=measures.quick)
    folder = only_folder(tmp_path / "results")
    assert folder.name.startswith("mine_")
    assert (folder / "study.yaml").read_text() == file.read_text()


def test_a_single_run_also_has_a_process_of_its_own(tmp_path: Path) -> None:
    result = run_study(study((1,)), output=tmp_path, measure=measures.quick)
    assert os.getpid() not in pids(only_folder(tmp_path), result)
    assert read_manifest(only_folder(tmp_path)).status == "completed"


def test_one_point_and_two_cycles_are_measured_in_two_processes(tmp_path: Path) -> None:
    result = run_study(study((1,), n_cycles=2), output=tmp_path, measure=measures.quick)
    first, second = pids(only_folder(tmp_path), result)
    assert len({first, second, os.getpid()}) == 3


def test_two_points_are_measured_in_two_processes(tmp_path: Path) -> None:
    result = run_study(study((1, 2)), output=tmp_path, measure=measures.quick)
    first, second = pids(only_folder(tmp_path), result)
    assert len({first, second, os.getpid()}) == 3


def test_a_timeout_in_the_study_also_applies_to_a_single_run(tmp_path: Path) -> None:
    result = run_study(study((1,), timeout_seconds=2), output=tmp_path, measure=measures.hangs)
    (failure,) = result.failed
    assert failure.error_type == "Timeout"
    assert result.measurement_protocol.timeout_seconds == 2


def test_a_measure_that_no_process_can_import_is_refused(tmp_path: Path) -> None:
    def local(config: ExperimentConfig, **rest: object) -> ExperimentResult:
        raise AssertionError

    with pytest.raises(StudyError, match="top level of a module"):
        run_study(study(), output=tmp_path / "out", measure=local)
    assert not (tmp_path / "out").exists()


def test_after_a_failing_point_the_study_continues(tmp_path: Path) -> None:
    study_config = study((1, measures.BAD_N, 2), n_cycles=2, cycle_order="interleaved")
    events: list[Event] = []
    result = run_study(
        study_config, output=tmp_path, measure=measures.fails_at_bad_n, on_event=events.append
    )
    folder = only_folder(tmp_path)
    assert result.status == "failed"
    assert (result.summary.completed, result.summary.failed) == (4, 2)
    assert [(f.index, f.error_type, f.error_message) for f in result.failed] == [
        (2, "BackendError", "this one does not work"),
        (5, "BackendError", "this one does not work"),
    ]
    statuses = [entry.status for entry in read_manifest(folder).entries]
    assert statuses == ["completed", "failed", "completed"] * 2
    failures = [event for event in events if isinstance(event, RunFailed)]
    assert [event.index for event in failures] == [2, 5]
    assert "this one does not work" in failures[0].log.read_text()
    assert not (failures[0].log.parent / "result.json").exists()
    (bad,) = [point for point in result.summary.points if point.n_failed]
    assert bad.energy_total_j is None
    assert result.summary.total_energy_j == 400.0


def test_too_many_failures_in_a_row_abort_the_study(tmp_path: Path) -> None:
    study_config = study((1, 2, 3, 4), max_consecutive_failures=2)
    events: list[Event] = []
    result = run_study(
        study_config, output=tmp_path, measure=measures.raises, on_event=events.append
    )
    manifest = read_manifest(only_folder(tmp_path))
    assert result.status == manifest.status == "aborted"
    assert isinstance(events[-1], StudyEnded)
    assert events[-1].reason == (
        "2 runs failed in a row, as many as execution.max_consecutive_failures allows"
    )
    assert [e.status for e in manifest.entries] == ["failed", "failed", "pending", "pending"]


def test_a_success_between_failures_starts_the_count_again(tmp_path: Path) -> None:
    bad = measures.BAD_N
    study_config = study(
        (bad, 1), n_cycles=3, cycle_order="interleaved", max_consecutive_failures=2
    )
    result = run_study(study_config, output=tmp_path, measure=measures.fails_at_bad_n)
    assert result.status == "failed"
    assert result.summary.failed == 3


def test_events_arrive_in_order(tmp_path: Path) -> None:
    events: list[Event] = []
    study_config = study((1, 2), config_gap_seconds=3.0)
    run_study(study_config, output=tmp_path, measure=measures.quick, on_event=events.append)
    imports = [e for e in events if isinstance(e, RunStage) and e.stage == "import"]
    warnings = [e for e in events if isinstance(e, PreflightWarning)]
    kinds = [type(event) for event in events if event not in [*imports, *warnings]]
    assert kinds == [
        StudyStarted,
        *(RunStarted, RunStage, RunFinished),
        *(GapStarted, GapEnded),
        *(RunStarted, RunStage, RunFinished),
        StudyEnded,
    ]
    # The second process usually imports during the gap.
    assert imports[0].index == 1


def test_a_gap_counts_from_the_end_of_the_measurement_before_it(tmp_path: Path) -> None:
    study_config = study((1, 2), config_gap_seconds=4.0)
    events: list[Event] = []
    result = run_study(
        study_config, output=tmp_path, measure=measures.quick, on_event=events.append
    )
    folder = only_folder(tmp_path)
    first, second = (read_result(folder / f).effective_config for f in result.result_files)
    assert second["monotonic_s"] - first["monotonic_s"] >= 3.9
    # Work since the measurement, such as writing its result, shortens the gap.
    (gap,) = [event for event in events if isinstance(event, GapStarted)]
    assert gap.seconds < 4.0


def test_two_studies_of_the_same_second_have_two_folders(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        run_study(study((1,)), output=tmp_path, measure=measures.quick)
        names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3


def test_summary_statistics_are_over_the_cycles_of_a_point(tmp_path: Path) -> None:
    study_config = study((1,), n_cycles=3)
    result = run_study(study_config, output=tmp_path, measure=measures.quick)
    (point,) = result.summary.points
    assert point.energy_per_output_token_j is not None
    assert point.energy_per_output_token_j.n == 3
    assert point.energy_per_output_token_j.mean == 2.0
    assert point.energy_per_output_token_j.median == 2.0
    assert point.energy_per_output_token_j.sd == 0.0
    assert result.summary.total_energy_j == 300.0


def test_the_protocol_records_the_effective_values(tmp_path: Path) -> None:
    study_config = StudyConfig(experiments=(experiment(n=1),))
    settings = Settings.model_validate({"execution": {"config_gap_seconds": 7}})
    result = run_study(study_config, output=tmp_path, measure=measures.quick, settings=settings)
    protocol = result.measurement_protocol
    assert (protocol.n_cycles, protocol.cycle_order) == (1, "shuffled")
    assert (protocol.config_gap_seconds, protocol.cycle_gap_seconds) == (7.0, 300.0)
    assert protocol.energy_sources == ("nvml",)


def test_a_folder_that_is_deleted_ends_the_study_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="cannot be written"):
        run_study(study((1, 2)), output=tmp_path, measure=measures.removes_the_study)


def test_an_output_that_cannot_be_written_is_an_error_before_anything_is_created(
    tmp_path: Path,
) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(StudyError, match="not a folder"):
        run_study(study(), output=blocker / "results", measure=measures.quick)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_run_experiment_writes_nothing_unless_given_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_experiment(experiment(), measure=measures.quick)
    assert list(tmp_path.iterdir()) == []
    result = run_experiment(experiment(), output=tmp_path / "run", measure=measures.quick)
    assert read_result(tmp_path / "run" / "result.json") == result
    with pytest.raises(StudyError, match="exists already"):
        run_experiment(experiment(), output=tmp_path / "run", measure=measures.quick)


def test_a_manifest_of_a_thousand_runs_has_an_entry_for_each(tmp_path: Path) -> None:
    study_config = study(tuple(range(1, 501)), n_cycles=2)
    from llem_runner._storage.layout import Layout
    from llem_runner._storage.manifest_writer import ManifestWriter
    from llem_runner.plan import schedule

    runs = schedule(study_config)
    writer = ManifestWriter.create(Layout(tmp_path), "big", study_config.study_design_hash, runs)
    for run in runs[:50]:
        writer.mark_running(run)
    assert len(json.loads((tmp_path / "manifest.json").read_text())["entries"]) == 1000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_token_reaches_the_run_through_its_environment_and_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hf_secretForThisTest"
    monkeypatch.setenv("HF_TOKEN", secret)
    study_config = study((1, 2))
    result = run_study(
        study_config, output=tmp_path / "results", measure=measures.returns_command_lines
    )
    folder = only_folder(tmp_path / "results")
    for file in result.result_files:
        report = read_result(folder / file).effective_config
        assert report["has_token"]
        assert secret not in "".join(report["lines"])
    for path in folder.rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path
