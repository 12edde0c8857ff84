"""Stopping: Ctrl-C, a stop from a thread, and skipping a gap (STU-06, CLI-11)."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from fakes import measures
from fakes.processes import n_children
from fakes.studies import experiment, model_folder, only_folder, study

from llem_config import ExecutionConfig, StudyConfig
from llem_runner import Control, read_manifest, read_study_result, run_study
from llem_runner.events import (
    Event,
    GapEnded,
    GapStarted,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
)
from llem_runner.executors import InlineExecutor

pytestmark = pytest.mark.usefixtures("own_children")


def test_a_stop_marks_the_run_interrupted_and_keeps_the_completed_runs(tmp_path: Path) -> None:
    control = Control()
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, RunStarted) and event.index == 2:
            threading.Timer(0.3, control.request_stop).start()

    result = run_study(
        study((1, 2, 3)),
        output=tmp_path,
        measure=measures.takes_a_second,
        control=control,
        on_event=on_event,
    )
    control.close()
    manifest = read_manifest(only_folder(tmp_path))
    assert [e.status for e in manifest.entries] == ["completed", "interrupted", "pending"]
    assert manifest.status == result.status == "interrupted"
    assert manifest.totals.failed == 0
    assert isinstance(events[-1], StudyEnded)
    assert read_study_result(only_folder(tmp_path)) == result
    assert n_children() == 0


def test_a_second_stop_kills_at_once(tmp_path: Path) -> None:
    control = Control()
    model = model_folder(tmp_path)
    study_config = StudyConfig(
        experiments=(experiment(model=model, n=1), experiment(model=model, n=2)),
        execution=ExecutionConfig(config_gap_seconds=0, cycle_gap_seconds=0),
    )

    def stop_twice() -> None:
        for mark in (".ready", ".stop-requested"):
            while not Path(model).with_suffix(mark).exists():
                time.sleep(0.02)
            control.request_stop()

    thread = threading.Thread(target=stop_twice)
    thread.start()
    run_study(
        study_config, output=tmp_path / "results", measure=measures.is_slow_to_stop, control=control
    )
    thread.join()
    control.close()
    # After one request a run has 2 s; the second request ended it before its sleep of 1.5 s.
    assert not Path(model).with_suffix(".survived").exists()


def test_ctrl_c_without_handlers_leaves_a_closed_manifest_and_no_process(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_study(study((1, 2)), output=tmp_path, measure=measures.interrupts_its_parent)
    manifest = read_manifest(only_folder(tmp_path))
    assert [entry.status for entry in manifest.entries] == ["interrupted", "pending"]
    assert manifest.status == "interrupted"
    assert n_children() == 0


def test_ctrl_c_is_noticed_even_if_it_does_not_interrupt_the_wait(tmp_path: Path) -> None:
    folders: list[Path] = []

    def interrupt(event: Event) -> None:
        if isinstance(event, RunStage) and event.stage == "window":
            # A signal in another thread leaves the main thread waiting, like one that arrives just
            # before the wait begins.
            threading.Timer(0.5, _interrupt_this_thread).start()
        elif isinstance(event, StudyStarted):
            folders.append(event.folder)

    with pytest.raises(KeyboardInterrupt):
        run_study(
            study((1, 2)), output=tmp_path, measure=measures.hangs_in_its_window, on_event=interrupt
        )
    assert read_manifest(folders[0]).status == "interrupted"


def _interrupt_this_thread() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


def test_a_study_runs_in_a_thread(tmp_path: Path) -> None:
    done: list[str] = []

    def run() -> None:
        done.append(run_study(study((1, 2)), output=tmp_path, measure=measures.quick).status)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == ["completed"]


def test_a_stop_ends_a_gap_at_once_and_leaves_no_folder_for_the_run(tmp_path: Path) -> None:
    control = Control()

    def on_event(event: Event) -> None:
        if isinstance(event, GapStarted):
            threading.Timer(0.2, control.request_stop).start()

    run_study(
        study((1, 2), config_gap_seconds=3600),  # longer than the timeout of a test
        output=tmp_path,
        measure=measures.quick,
        control=control,
        on_event=on_event,
    )
    control.close()
    folder = only_folder(tmp_path)
    assert [e.status for e in read_manifest(folder).entries] == ["completed", "pending"]
    assert [path.name[:4] for path in sorted(folder.glob("0*"))] == ["0001"]


def test_a_line_on_the_terminal_skips_a_gap(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    control = Control(skip_fd=read_end)
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, GapStarted):
            threading.Timer(0.2, os.write, (write_end, b"\n")).start()

    result = run_study(
        study((1, 2), config_gap_seconds=3600),
        output=tmp_path,
        measure=measures.quick,
        control=control,
        on_event=on_event,
    )
    control.close()
    os.close(read_end)
    os.close(write_end)
    assert GapEnded(skipped=True) in events
    assert result.status == "completed"


def test_a_closed_terminal_does_not_skip_a_gap(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)  # end of file: always readable, but no line
    control = Control(skip_fd=read_end)
    events: list[Event] = []
    run_study(
        study((1, 2), config_gap_seconds=1.5),
        output=tmp_path,
        measure=measures.quick,
        control=control,
        on_event=events.append,
    )
    control.close()
    os.close(read_end)
    assert GapEnded(skipped=False) in events


def test_a_stop_from_another_thread_raises_no_exception_in_it(tmp_path: Path) -> None:
    control = Control()
    statuses: list[str] = []
    model = Path(model_folder(tmp_path))

    def run() -> None:
        study_config = StudyConfig(experiments=(experiment(model=str(model)),))
        result = run_study(
            study_config,
            output=tmp_path / "results",
            measure=measures.waits_for_file,
            control=control,
            executor=InlineExecutor(),
        )
        statuses.append(result.status)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and not model.with_suffix(".ready").exists():
        time.sleep(0.02)
    control.request_stop()  # the measurement runs in the other thread, so this thread gets no KeyboardInterrupt
    model.with_suffix(".go").touch()
    thread.join()
    control.close()
    assert statuses == ["completed"]


def test_a_stop_just_before_an_inline_measurement_is_not_lost(tmp_path: Path) -> None:
    control = Control()

    def on_event(event: Event) -> None:
        if isinstance(event, RunStarted):
            control.request_stop()

    result = run_study(
        study((1,)), output=tmp_path, measure=measures.quick, control=control, on_event=on_event,
        executor=InlineExecutor(),
    )  # fmt: skip
    control.close()
    assert result.status == "interrupted"
    (entry,) = read_manifest(only_folder(tmp_path)).entries
    assert entry.status == "interrupted"


@pytest.mark.parametrize("kind", [RunStarted, GapStarted])
@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_an_error_in_a_callback_leaves_no_run_running(
    tmp_path: Path, kind: type, error: BaseException
) -> None:
    def on_event(event: Event) -> None:
        if isinstance(event, kind):
            raise error

    with pytest.raises(type(error)):
        run_study(
            study((1, 2), config_gap_seconds=5),
            output=tmp_path,
            measure=measures.quick,
            on_event=on_event,
        )
    manifest = read_manifest(only_folder(tmp_path))
    is_interrupt = isinstance(error, KeyboardInterrupt)
    assert manifest.status == ("interrupted" if is_interrupt else "aborted")
    assert manifest.totals.running == 0
    assert read_study_result(only_folder(tmp_path)).status == manifest.status


def test_two_stops_before_a_run_has_begun_interrupt_it(tmp_path: Path) -> None:
    control = Control()

    def on_event(event: Event) -> None:
        if isinstance(event, RunStarted):
            control.request_stop()
            control.request_stop()

    result = run_study(
        study((1, 2)),
        output=tmp_path,
        measure=measures.hangs,
        control=control,
        on_event=on_event,
    )
    control.close()
    assert result.status == "interrupted"
    entries = read_manifest(only_folder(tmp_path)).entries
    assert [entry.status for entry in entries] == ["interrupted", "pending"]


def test_two_stops_at_the_same_time_kill_at_once(tmp_path: Path) -> None:
    control = Control()
    model = model_folder(tmp_path)
    study_config = StudyConfig(experiments=tuple(experiment(model=model, n=n) for n in (1, 2)))

    def on_event(event: Event) -> None:
        if isinstance(event, RunStage) and event.stage == "window":
            control.request_stop()
            control.request_stop()

    result = run_study(
        study_config,
        output=tmp_path / "results",
        measure=measures.is_slow_to_stop_in_its_window,
        control=control,
        on_event=on_event,
    )
    control.close()
    assert result.status == "interrupted"
    # One request would leave the run 2 s, and it would have written this after 1.5 s.
    assert not Path(model).with_suffix(".survived").exists()


def test_a_line_typed_before_a_gap_does_not_skip_it(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"\n\n")
    control = Control(skip_fd=read_end)
    events: list[Event] = []
    run_study(
        study((1, 2), config_gap_seconds=1.5),
        output=tmp_path,
        measure=measures.quick,
        control=control,
        on_event=events.append,
    )
    control.close()
    os.close(read_end)
    os.close(write_end)
    assert GapEnded(skipped=False) in events


def test_end_of_file_on_the_terminal_causes_no_busy_loop(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    control = Control(skip_fd=read_end)
    before = time.process_time()
    run_study(
        study((1, 2), config_gap_seconds=3),
        output=tmp_path,
        measure=measures.quick,
        control=control,
    )
    control.close()
    os.close(read_end)
    assert time.process_time() - before < 1.0
