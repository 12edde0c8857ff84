"""The progress display: plain lines in a file, and the status bar of a terminal (CLI-11)."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from llem_cli._display.progress import Progress
from llem_cli._display.status_bar import StatusBar
from llem_runner.events import (
    Event,
    InputChanged,
    LeftoverProcesses,
    ReadingInputs,
    RunFailed,
    RunStarted,
    StudyEnded,
    StudyStarted,
)

LABEL = "precision=bf16 pytorch.batch_size=8 dataset=[bold]short[/bold] max_output_tokens=128"
STARTED = StudyStarted(folder=Path("results/s"), n_runs=2, n_planned=5, gap_s=0.0, left_s=90.0)
FAILED = RunFailed(
    index=1,
    seconds=12.0,
    error_type="OutOfMemory",
    message="the cache does not fit",
    log=Path("results/s/log.txt"),
    n_left=1,
    left_s=45.0,
)


def lines(capsys: pytest.CaptureFixture[str], *events: Event) -> list[str]:
    """Return the lines that a file gets for these events."""
    with Progress(quiet=False, verbose=False) as progress:
        for event in events:
            progress(event)
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


def test_reading_model_files_is_one_line_and_a_change_is_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reading = [ReadingInputs(n * 10**9, 140 * 10**9) for n in range(140)]
    change = "run 3 read another tokenizer.json of the model ./m than run 2"
    assert lines(capsys, *reading, InputChanged(index=3, change=change)) == [
        "reading 140 GB of model files once, to record what is measured",
        f"warning: {change}",
    ]


def status_bar(width: int = 80) -> tuple[StatusBar, io.StringIO]:
    screen = io.StringIO()
    environ = {"TERM": "xterm"}
    console = Console(file=screen, width=width, force_terminal=True, _environ=environ)
    return StatusBar(console, disable=False), screen


def test_a_failure_is_shown_with_its_error_its_log_and_the_remaining_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert lines(capsys, STARTED, RunStarted(index=1, cycle=1, label=LABEL), FAILED) == [
        "2 runs left, 3 already completed, about 1 min 30 s; results in results/s",
        f"run 1 (cycle 1): {LABEL}",
        "run 1 failed after 12 s; 1 left, about 45 s",
        "  OutOfMemory: the cache does not fit",
        "  log: results/s/log.txt",
    ]


def test_a_study_without_runs_left_says_that_there_is_nothing_to_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    started = StudyStarted(folder=Path("results/s"), n_runs=0, n_planned=4, gap_s=0.0, left_s=0.0)
    assert lines(capsys, started) == [
        "nothing to run: 4 runs completed already; results in results/s"
    ]


def test_leftover_processes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(
        capsys,
        LeftoverProcesses(index=3, own_pids=(17,), other_pids=()),
        LeftoverProcesses(index=3, own_pids=(17,), other_pids=(18,)),
    ) == [
        "run 3 finished, but its process 17 is still alive; waiting for it to exit",
        "run 3 finished, but its process 17 and process 18 (another program, new on a GPU) are "
        "still alive; waiting for them to exit",
    ]


def test_a_stopped_study_shows_a_command_that_can_be_pasted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line,) = lines(capsys, StudyEnded(folder=Path("my results/s"), status="interrupted"))
    assert line == "stopped; continue with `llem-cli study resume 'my results/s'`"


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=True, verbose=True) as progress:
        progress(STARTED)
        progress(FAILED)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("width", [80, 40])
def test_the_status_bar_wraps_and_truncates_nothing(width: int) -> None:
    bar, _ = status_bar(width)
    bar.show_status(f"run 1 (cycle 1), window: {LABEL}")
    bar.show_count(2, 12, ", about 45 s left")
    screen = io.StringIO()
    Console(file=screen, width=width).print(bar.get_renderable())
    drawn = screen.getvalue().splitlines()
    assert all(len(line) <= width for line in drawn)
    text = " ".join(line.strip() for line in drawn)
    assert f"run 1 (cycle 1), window: {LABEL}" in text
    assert "2/12 runs, about 45 s left" in text


def test_the_status_bar_is_redrawn_every_second_in_a_gap_and_never_in_a_run() -> None:
    bar, screen = status_bar()
    with bar:
        bar.show_live_status(lambda: "gap")
        first = screen.tell()
        deadline_s = time.monotonic() + 30
        while screen.tell() == first and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert screen.tell() > first
        bar.show_status("window")
        during_run = screen.tell()
        time.sleep(2.5)
        assert screen.tell() == during_run
