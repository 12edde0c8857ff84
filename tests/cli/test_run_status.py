"""What a terminal shows while a run works: its point, its stage and running seconds (CLI-11)."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from llem_cli._display.run_status import RunStatus
from llem_cli._display.status_bar import StatusBar
from llem_cli._display.time_left import TimeLeft
from llem_energy import STAGES
from llem_runner.events import RunStage, RunStarted

STARTED = RunStarted(index=3, cycle=1, label="precision=bf16 pytorch.batch_size=8", expected_s=40.0)
QUIET = {"calibration", "baseline", "loaded idle", "window", "prefill", "decode", "idle after"}


class Clock:
    """Seconds that a test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def started(clock: Clock) -> RunStatus:
    status = RunStatus(clock, time_of_day=lambda: 0.0)
    status.start(STARTED, n_planned=12)
    return status


def test_the_point_and_its_stage_come_first_with_seconds_that_run() -> None:
    clock = Clock()
    status = started(clock)
    clock.now_s += 2
    status.begin(RunStage(3, "load", expected_s=12.0))
    clock.now_s += 5
    assert status.lines() == [
        "precision=bf16 batch_size=8: load, 5 s of about 12 s",
        "run 3 of 12, cycle 1, 7 s of about 40 s",
    ]
    clock.now_s += 70
    assert status.lines()[0].endswith("load, 1 min 15 s of about 12 s")


def test_a_window_has_its_length_and_no_running_seconds() -> None:
    clock = Clock()
    status = started(clock)
    status.begin(RunStage(3, "window", expected_s=10.0))
    first = status.lines()
    at = time.strftime("%H:%M:%S", time.localtime(0))
    assert first == [
        "precision=bf16 batch_size=8: measured window, about 10 s, "
        f"since {at}; nothing is drawn until it ends",
        "run 3 of 12, cycle 1",
    ]
    clock.now_s += 7
    assert status.lines() == first


def test_seconds_run_only_in_stages_in_which_nothing_is_measured() -> None:
    status = started(Clock())
    ticking = set()
    for stage in (*STAGES, "a stage of another executor"):
        status.begin(RunStage(3, stage))
        if status.is_ticking:
            ticking.add(stage)
    assert ticking == set(STAGES) - QUIET


def test_the_stages_before_the_window_are_told_with_their_seconds() -> None:
    clock = Clock()
    status = started(clock)
    for stage, seconds in (("open", 0.2), ("load", 12), ("tokenise", 0.1), ("warm-up", 30)):
        status.begin(RunStage(3, stage))
        clock.now_s += seconds
    status.begin(RunStage(3, "window"))
    assert status.history() == "load 12 s, warm-up 30 s"


@pytest.mark.parametrize(
    ("left_s", "unknown", "passed_s", "expected"),
    [
        (90.0, "", 0, ", about 1 min 30 s left, until "),
        (90.0, "", 30, ", about 1 min left, until "),
        (90.0, "", 300, ""),
        (None, "loading gpt2", 0, ", at least 36 s, plus loading gpt2"),
        (None, "", 0, ", at least 36 s"),
    ],
)
def test_the_time_left_counts_down(
    left_s: float | None, unknown: str, passed_s: float, expected: str
) -> None:
    clock = Clock()
    left = TimeLeft(clock, time_of_day=clock)
    left.estimate(left_s, least_s=36.0, unknown=unknown)
    clock.now_s += passed_s
    assert str(left).startswith(expected)
    assert bool(str(left)) == bool(expected)


def test_the_end_of_a_long_study_has_a_day() -> None:
    left = TimeLeft(Clock(), time_of_day=lambda: 0.0)
    left.estimate(3 * 86400.0)
    end = time.localtime(3 * 86400)
    assert time.strftime("%A %H:%M", end) in str(left)


@pytest.mark.parametrize("width", [80, 160])
def test_status_and_time_left_fit_the_terminal(width: int) -> None:
    clock = Clock()
    status = started(clock)
    status.begin(RunStage(3, "window", expected_s=10.0))
    left = TimeLeft(clock, time_of_day=clock)
    left.estimate(5 * 86400.0 + 7800)
    screen = io.StringIO()
    console = Console(file=screen, width=width, force_terminal=True, _environ={"TERM": "xterm"})
    bar = StatusBar(console, disable=False)
    bar.show_status(*status.lines())
    bar.show_count(112, 120, left)
    drawn = io.StringIO()
    Console(file=drawn, width=width).print(bar.get_renderable())
    lines = drawn.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert "112/120 runs, about 122 h 10 min left, until " in lines[-1]
