"""Run commands several times, and two of them in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from llem_cli._commands.meter.signals import FATAL, SignalQueue
from llem_cli._display.meter_report import MeasuredRun

Execute = Callable[[Sequence[str]], tuple[MeasuredRun, int | None]]
"""Runs a command once; the second value is a signal to stop that arrived meanwhile."""


class Series(NamedTuple):
    """The runs of each command, and why they stopped early."""

    runs: tuple[list[MeasuredRun], ...]
    exit_code: int
    """Of the first run that failed; 0 if none did."""
    stopped_by: str | None


def run_in_turn(
    commands: Sequence[Sequence[str]],
    *,
    n_runs: int,
    n_warmup: int,
    gap_s: float,
    signals: SignalQueue,
    execute: Execute,
    warm_up: Callable[[Sequence[str]], tuple[int, int | None]],
    on_run: Callable[[int, int, MeasuredRun], None],
) -> Series:
    """Run each command `n_runs` times.

    Several commands take turns, and each is the first in every second turn. So what drifts on the
    machine, such as its temperature, affects all of them alike.

    Args:
        commands: programs with their arguments.
        n_runs: measured runs of each.
        n_warmup: runs of each that are not measured, before the others.
        gap_s: pause between two runs, in seconds.
        signals: that arrive here; one that stops programs ends the series.
        execute: measures a run.
        warm_up: runs a command without measuring it; returns exit code and signal.
        on_run: called after each measured run with the positions of its command and of the run.
    """
    runs: tuple[list[MeasuredRun], ...] = tuple([] for _ in commands)
    is_first = True
    for turn in range(-n_warmup, n_runs):
        order = range(len(commands)) if turn % 2 == 0 else reversed(range(len(commands)))
        for i in order:
            stopped_by = None if is_first else pause(gap_s, signals)
            is_first = False
            if stopped_by is not None:
                return Series(runs, FATAL + stopped_by, f"signal {stopped_by}")
            if turn < 0:
                code, stopped_by = warm_up(commands[i])
            else:
                run, stopped_by = execute(commands[i])
                code = run.exit_code
                runs[i].append(run)
                on_run(i, turn, run)
            if stopped_by is not None:
                return Series(runs, code or FATAL + stopped_by, f"signal {stopped_by}")
            if code != 0:
                what = "a warm-up run" if turn < 0 else f"run {turn + 1}"
                return Series(runs, code, f"{what} failed with exit code {code}")
    return Series(runs, 0, None)


def pause(seconds: float, signals: SignalQueue) -> int | None:
    """Wait; return the signal to stop that ended the wait, or None."""
    import time

    end_s = time.monotonic() + seconds
    while True:
        received = signals.wait(end_s - time.monotonic())
        if received is not None and received.stops:
            return received.number
        if time.monotonic() >= end_s:
            return None
