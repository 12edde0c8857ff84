"""The process of the next run is started once a result has arrived, and never left over (STU-03)."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import measures
from fakes.studies import only_folder, study

from llem_runner import (
    Control,
    Event,
    RunFinished,
    RunStage,
    RunStarted,
    StudyError,
    read_manifest,
    resume_study,
    run_study,
)


def n_workers() -> int:
    return len(multiprocessing.active_children())


def test_one_run_at_a_time_and_the_next_process_from_its_result_on(tmp_path: Path) -> None:
    during: list[int] = []
    after: list[int] = []

    def on_event(event: Event) -> None:
        match event:
            case RunStarted() | RunStage():
                during.append(n_workers())
            case RunFinished():
                after.append(n_workers())

    run_study(study((1, 2, 3)), output=tmp_path, measure=measures.quick, on_event=on_event)
    assert max(during) == 1  # whose process it is; no other one beside it
    assert after == [1, 1, 0]
    assert n_workers() == 0


def test_a_stop_after_a_result_leaves_neither_process_nor_folder(tmp_path: Path) -> None:
    control = Control()

    def on_event(event: Event) -> None:
        if isinstance(event, RunFinished):
            assert n_workers() == 1
            control.request_stop()

    result = run_study(
        study((1, 2)), output=tmp_path, measure=measures.quick, control=control, on_event=on_event
    )
    control.close()
    assert result.status == "interrupted"
    assert n_workers() == 0
    folder = only_folder(tmp_path)
    assert [e.status for e in read_manifest(folder).entries] == ["completed", "pending"]
    assert [path.name[:4] for path in folder.iterdir() if path.is_dir()] == ["0001"]


def test_a_caller_that_raises_after_a_result_leaves_no_process(tmp_path: Path) -> None:
    def on_event(event: Event) -> None:
        match event:
            case RunFinished():
                raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        run_study(study((1, 2)), output=tmp_path, measure=measures.quick, on_event=on_event)
    assert n_workers() == 0
    entries = read_manifest(only_folder(tmp_path)).entries
    assert [e.status for e in entries] == ["completed", "pending"]


def test_a_next_run_that_cannot_be_prepared_does_not_take_a_result_with_it(tmp_path: Path) -> None:
    in_the_way: list[Path] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RunStage) and not in_the_way:
            (own,) = [path for path in only_folder(tmp_path).iterdir() if path.is_dir()]
            hash_2 = read_manifest(own.parent).entries[1].config_hash[:8]
            name = own.name.replace("0001", "0002")[: -len(hash_2)] + hash_2
            in_the_way.append(own.parent / name)
            in_the_way[0].write_text("not a folder")

    with pytest.raises(StudyError, match="cannot be written"):
        run_study(study((1, 2)), output=tmp_path, measure=measures.quick, on_event=on_event)
    folder = only_folder(tmp_path)
    assert [e.status for e in read_manifest(folder).entries] == ["completed", "pending"]
    assert n_workers() == 0
    in_the_way[0].unlink()
    assert resume_study(folder, measure=measures.quick).status == "completed"


_SCRIPT = """
import sys
from fakes import measures
from fakes.studies import study
from llem_runner import run_study
if __name__ == "__main__":
    assert run_study(study((1, 2)), output=sys.argv[1],
                     measure=measures.holds_a_semaphore).status == "completed"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="told by the resource tracker of Linux")
def test_a_worker_gives_back_what_outlives_a_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    done = subprocess.run(
        [sys.executable, script, tmp_path / "results"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    # Python tells at its end of named semaphores that nobody gave back.
    assert (done.returncode, done.stderr) == (0, "")
