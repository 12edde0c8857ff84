"""The progress of a study in a notebook: one output of the cell, which is changed by each event.

It has no timer: what happens is shown with the time of day at which it began and with how long it is
expected to take, so that nothing is drawn while something is measured.
"""

from __future__ import annotations

import html
import importlib
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from llem_config.text import one_line
from llem_runner._events import (
    Event,
    GapStarted,
    ReadingInputs,
    RunFailed,
    RunFinished,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
)

_MAX_LINES = 20
_PRE = "margin:0.3em 0; white-space:pre-wrap; line-height:1.35"


class Handle(Protocol):
    """An output that can be changed, as `IPython.display.DisplayHandle`."""

    def update(self, obj: object) -> None:
        """Show another object instead."""


def notebook_display() -> Callable[[object], Handle] | None:
    """Return what opens an output in the current cell; None where there is no notebook.

    IPython in a terminal cannot change an output. IPython is never imported here: if it has not been
    imported, there is no notebook.
    """
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or type(shell).__module__.startswith("IPython.terminal"):
        return None
    displays: Any = importlib.import_module("IPython.display")

    def open_output(obj: object) -> Handle:
        handle: Handle = displays.display(obj, display_id=True)
        return handle

    return open_output


class NotebookProgress:
    """What a notebook shows of a study, as HTML and as text."""

    def __init__(self, time_of_day: Callable[[], float] = time.time) -> None:
        """Prepare; `time_of_day` returns Unix time in seconds."""
        self._time_of_day = time_of_day
        self._lines: list[str] = []
        self._n_lines = 0
        self._status = ""
        self._label = ""
        self._n_done = self._n_runs = 0
        self._left = ""

    def __repr__(self) -> str:
        """Return the last lines, what happens now, and how many runs are done."""
        parts = (*self._shown_lines(), self._status, self._count())
        return "\n".join(part for part in parts if part)

    def _repr_html_(self) -> str:
        """Return the same with a bar; a notebook calls this."""
        text = html.escape("\n".join(filter(None, (*self._shown_lines(), self._status))))
        bar = (
            f'<progress value="{self._n_done}" max="{max(1, self._n_runs)}"></progress> '
            f"{html.escape(self._count())}"
        )
        return f'<div>{bar}<pre style="{_PRE}">{text}</pre></div>'

    def add(self, event: Event, line: str | None) -> None:
        """Take an event.

        Args:
            event: of a study.
            line: what a file would get for it; None for nothing.
        """
        match event:
            case StudyStarted(n_runs=n_runs):
                self._n_runs = n_runs
                self._estimate(event.left_s)
            case RunStarted(index, cycle, label):
                self._label = f"run {index} (cycle {cycle}): {label}"
                self._status = f"{self._label}: starting"
                return
            case RunStage(stage=stage, expected_s=expected_s):
                about = "" if expected_s is None else f", about {expected_s:.0f} s"
                self._status = f"{self._label}: {stage} since {self._clock()}{about}"
            case GapStarted(seconds=seconds):
                self._status = f"gap since {self._clock()}, {seconds:.0f} s"
                return
            case ReadingInputs(n_read_bytes, n_bytes):
                self._status = f"reading model files: {n_read_bytes / n_bytes:.0%}"
            case RunFinished() | RunFailed():
                self._status = ""
                self._n_done = self._n_runs - event.n_left
                self._estimate(event.left_s if event.n_left else None)
                if isinstance(event, RunFinished) and line is not None:
                    figures = line.partition(": ")[2]
                    line = f"{self._label}: {figures.partition('; ')[0]}"
            case StudyEnded():
                self._status = self._left = ""
        if line is not None:
            self._lines = [*self._lines, one_line(line)][-_MAX_LINES:]
            self._n_lines += 1

    def _shown_lines(self) -> list[str]:
        n_more = self._n_lines - len(self._lines)
        return [f"({n_more} earlier lines)", *self._lines] if n_more else self._lines

    def _count(self) -> str:
        return f"{self._n_done} of {self._n_runs} runs{self._left}" if self._n_runs else ""

    def _estimate(self, left_s: float | None) -> None:
        end = "" if left_s is None else self._clock(left_s)
        self._left = f", until about {end}" if end else ""

    def _clock(self, in_s: float = 0.0) -> str:
        return time.strftime("%H:%M:%S", time.localtime(self._time_of_day() + in_s))
