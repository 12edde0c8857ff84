"""The process of the next run starts after a result has arrived, and is always ended (STU-03)."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from fakes import measures
from fakes.processes import n_children
from fakes.studies import experiment, model_folder, only_folder, study

from llem_runner import Control, StudyError, read_manifest, resume_study, run_isolated, run_study
from llem_runner.events import Event, RunFinished, RunStage, RunStarted
from llem_runner.executors import Failed

pytestmark = pytest.mark.usefixtures("own_children")


def test_the_next_process_starts_when_the_result_has_arrived(tmp_path: Path) -> None:
    during: list[int] = []
    after: list[int] = []

    def on_event(event: Event) -> None:
        match event:
            case RunStarted() | RunStage():
                during.append(n_children())
            case RunFinished():
                after.append(n_children())

    run_study(study((1, 2, 3)), output=tmp_path, measure=measures.quick, on_event=on_event)
    assert max(during) == 1  # only the process of the run
    assert after == [1, 1, 0]
    assert n_children() == 0


def test_a_stop_after_a_result_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    control = Control()

    def on_event(event: Event) -> None:
        if isinstance(event, RunFinished):
            assert n_children() == 1
            control.request_stop()

    result = run_study(
        study((1, 2)), output=tmp_path, measure=measures.quick, control=control, on_event=on_event
    )
    control.close()
    assert result.status == "interrupted"
    assert n_children() == 0
    folder = only_folder(tmp_path)
    assert [e.status for e in read_manifest(folder).entries] == ["completed", "pending"]
    assert [path.name[:4] for path in folder.iterdir() if path.is_dir()] == ["0001"]


def test_an_exception_in_a_callback_after_a_result_leaves_no_process(tmp_path: Path) -> None:
    def on_event(event: Event) -> None:
        match event:
            case RunFinished():
                raise LookupError("an error of the caller")

    with pytest.raises(LookupError, match="an error of the caller"):
        run_study(study((1, 2)), output=tmp_path, measure=measures.quick, on_event=on_event)
    assert n_children() == 0
    entries = read_manifest(only_folder(tmp_path)).entries
    assert [e.status for e in entries] == ["completed", "pending"]


def test_a_result_is_saved_although_the_next_run_cannot_be_prepared(tmp_path: Path) -> None:
    in_the_way: list[Path] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RunStage) and not in_the_way:
            (run_folder,) = [path for path in only_folder(tmp_path).iterdir() if path.is_dir()]
            hash_2 = read_manifest(run_folder.parent).entries[1].config_hash[:8]
            name = run_folder.name.replace("0001", "0002")[: -len(hash_2)] + hash_2
            in_the_way.append(run_folder.parent / name)
            in_the_way[0].write_text("not a folder")

    with pytest.raises(StudyError, match="expected a folder, found a file"):
        run_study(study((1, 2)), output=tmp_path, measure=measures.quick, on_event=on_event)
    folder = only_folder(tmp_path)
    assert [e.status for e in read_manifest(folder).entries] == ["completed", "pending"]
    assert n_children() == 0
    in_the_way[0].unlink()
    assert resume_study(folder, measure=measures.quick).status == "completed"


def semaphores() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("sem.mp-*")}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no folder of semaphores")
def test_a_child_process_releases_its_named_semaphores(tmp_path: Path) -> None:
    run_study(study((1, 2)), output=tmp_path, measure=measures.holds_a_semaphore)
    folder = only_folder(tmp_path)
    assert read_manifest(folder).status == "completed"
    # At its end Python reports named semaphores that were not released.
    assert [log.read_text() for log in folder.glob("*/log.txt")] == ["", ""]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no folder of semaphores")
def test_the_named_semaphores_of_a_killed_child_process_are_freed(tmp_path: Path) -> None:
    model = model_folder(tmp_path)
    outcome = run_isolated(
        experiment(model=model),
        measure=measures.dies_with_a_semaphore,
        timeout_s=60,
        log=tmp_path / "log",
    )
    assert isinstance(outcome, Failed)
    name = "sem." + Path(model).with_suffix(".semaphore").read_text()
    deadline_s = time.monotonic() + 20
    while name in semaphores() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert name not in semaphores()
