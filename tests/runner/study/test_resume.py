"""Resuming a study that stopped (STU-10, STU-11)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import experiment, model_folder, only_folder, study

from llem_config import ExecutionConfig, StudyConfig
from llem_runner import (
    StudyError,
    StudyLocked,
    read_manifest,
    read_study_result,
    resume_study,
    run_study,
)
from llem_runner.events import Event, PreflightWarning, RunStarted
from llem_runner.executors import InlineExecutor


@pytest.fixture
def half_done(tmp_path: Path) -> Path:
    """A study of four runs, two of which failed."""
    study_config = study((1, measures.BAD_N), n_cycles=2, cycle_order="interleaved")
    run_study(study_config, output=tmp_path / "results", measure=measures.fails_at_bad_n)
    return only_folder(tmp_path / "results")


def test_completed_runs_are_kept_and_the_others_run_again(half_done: Path) -> None:
    before = (half_done / read_study_result(half_done).result_files[0]).read_bytes()
    result = resume_study(half_done, measure=measures.quick)
    manifest = read_manifest(half_done)
    assert result.status == manifest.status == "completed"
    assert [entry.attempts for entry in manifest.entries] == [1, 2, 1, 2]
    assert result.summary.completed == 4
    assert (half_done / result.result_files[0]).read_bytes() == before
    assert all(entry.error_type is None for entry in manifest.entries)


def test_resuming_a_finished_study_changes_nothing(tmp_path: Path) -> None:
    first = run_study(study(), output=tmp_path, measure=measures.quick)
    again = resume_study(only_folder(tmp_path), measure=measures.raises)
    assert again.status == "completed"
    assert again.result_files == first.result_files


def test_each_time_that_cycles_are_added_to_results_is_recorded(half_done: Path) -> None:
    resume_study(half_done, measure=measures.quick)  # the planned cycles only
    assert read_manifest(half_done).looks == ()
    for n_cycles in (4, 4, 5):
        result = resume_study(half_done, cycles=n_cycles, measure=measures.quick)
    assert read_manifest(half_done).looks == (2, 4)
    assert result.summary.comparisons is not None
    assert result.summary.comparisons.looks == (2, 4)


def test_a_resume_says_if_the_points_will_not_be_compared_or_less_precisely(tmp_path: Path) -> None:
    study_config = study((1, 2, 3, 4), n_cycles=1, cycle_order="shuffled")
    run_study(study_config, output=tmp_path, measure=measures.quick, executor=InlineExecutor())
    folder = only_folder(tmp_path)
    warnings: dict[int, str] = {}
    for n_cycles in (2, 4, 5):
        events: list[Event] = []
        resume_study(
            folder, cycles=n_cycles, measure=measures.quick, executor=InlineExecutor(),
            on_event=events.append,
        )  # fmt: skip
        warnings[n_cycles] = "".join(e.warning for e in events if isinstance(e, PreflightWarning))
    assert "will not be compared: expected at least 3 cycles, found 2" in warnings[2]
    assert "compar" not in warnings[4]  # two cycles compared nothing
    assert "added after the results of 4 cycles could be seen" in warnings[5]


@pytest.mark.parametrize("damage", ["delete", "truncate", "swap"])
def test_a_run_with_an_invalid_result_runs_again(half_done: Path, damage: str) -> None:
    result_file = half_done / read_study_result(half_done).result_files[0]
    match damage:
        case "delete":
            result_file.unlink()
        case "truncate":
            result_file.write_bytes(result_file.read_bytes()[:100])
        case _:
            data = json.loads(result_file.read_text())
            result_file.write_text(json.dumps({**data, "measurement_config_hash": "f" * 16}))
    resume_study(half_done, measure=measures.quick)
    assert [entry.attempts for entry in read_manifest(half_done).entries] == [2, 2, 1, 2]


def test_an_invalid_result_is_kept_beside_the_new_one(half_done: Path) -> None:
    result_file = half_done / read_study_result(half_done).result_files[0]
    result_file.write_text("{}")
    resume_study(half_done, measure=measures.quick)
    assert result_file.with_name("result.json.old").read_text() == "{}"


def test_a_valid_result_that_the_manifest_lacks_is_kept(half_done: Path) -> None:
    data = json.loads((half_done / "manifest.json").read_text())
    entry = data["entries"][0]
    entry |= {"status": "running", "result_file": None, "ended_at": None}
    (half_done / "manifest.json").write_text(json.dumps(data))
    resume_study(half_done, measure=measures.quick)
    entries = read_manifest(half_done).entries
    assert [entry.attempts for entry in entries] == [1, 2, 1, 2]
    assert [entry.status for entry in entries] == ["completed"] * 4


def test_an_unfinished_resume_removes_the_old_study_result(half_done: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, RunStarted):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resume_study(half_done, measure=measures.quick, on_event=stop)
    result = read_study_result(half_done)
    assert result.status == "interrupted"
    assert len(result.result_files) == result.summary.completed == 2


def test_a_folder_that_was_moved_can_be_continued(half_done: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "a b"
    shutil.move(half_done, moved)
    assert resume_study(moved, measure=measures.quick).status == "completed"


def test_a_folder_with_files_of_two_studies_is_refused(half_done: Path) -> None:
    manifest = json.loads((half_done / "manifest.json").read_text())
    manifest["study_design_hash"] = "0" * 16
    (half_done / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StudyError, match="design hash"):
        resume_study(half_done, measure=measures.quick)


def test_a_folder_that_is_not_a_study_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is not the folder of a study"):
        resume_study(tmp_path)


@pytest.mark.parametrize("n_bytes", [0, 100, None])
def test_a_damaged_study_is_reported_in_one_sentence(half_done: Path, n_bytes: int | None) -> None:
    file = half_done / "study_resolved.json"
    text = file.read_text()
    file.write_text(text.replace('"n": 1', '"n": -1') if n_bytes is None else text[:n_bytes])
    with pytest.raises(
        StudyError, match=r"study_resolved.json is damaged \(.*restore it from a copy"
    ) as caught:
        resume_study(half_done, measure=measures.quick)
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_a_study_without_its_resolved_file_is_still_called_a_study(half_done: Path) -> None:
    (half_done / "study_resolved.json").unlink()
    with pytest.raises(StudyError, match=r"study_resolved.json is missing; restore it from a copy"):
        resume_study(half_done, measure=measures.quick)


def test_after_kill_9_of_the_parent_the_interrupted_run_is_repeated(tmp_path: Path) -> None:
    model = model_folder(tmp_path)
    results = tmp_path / "results"
    study_config = StudyConfig(
        experiments=tuple(experiment(model=model, n=n) for n in (1, 2)),
        execution=ExecutionConfig(config_gap_seconds=0, cycle_gap_seconds=0),
    )
    (tmp_path / "study.json").write_text(study_config.model_dump_json())
    script = tmp_path / "parent.py"
    script.write_text(
        "from pathlib import Path\n"
        "from fakes import measures\n"
        "from llem_config import StudyConfig\n"
        "from llem_runner import run_study\n"
        "if __name__ == '__main__':\n"
        f"    text = Path({str(tmp_path / 'study.json')!r}).read_text()\n"
        f"    run_study(StudyConfig.model_validate_json(text), output={str(results)!r},\n"
        "              measure=measures.waits_for_file)\n"
    )
    tests = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(tests)}
    )
    ready = Path(model).with_suffix(".ready")
    deadline = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(StudyLocked):
        resume_study(only_folder(results), measure=measures.quick)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    folder = only_folder(results)
    assert [e.status for e in read_manifest(folder).entries] == ["running", "pending"]
    Path(model).with_suffix(".go").touch()
    assert resume_study(folder, measure=measures.quick).status == "completed"
    assert [entry.attempts for entry in read_manifest(folder).entries] == [2, 1]
