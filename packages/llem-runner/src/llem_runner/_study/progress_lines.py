"""The progress of a study for scripts and notebooks: `run_study(progress=True)`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from llem_config.text import one_line
from llem_runner._events import (
    Event,
    GapStarted,
    Note,
    OnEvent,
    PreflightWarning,
    RunFailed,
    RunFinished,
    RunStarted,
    StudyEnded,
    StudyStarted,
    ignore,
)
from llem_runner._study.notebook_progress import Handle, NotebookProgress, notebook_display


def with_progress(on_event: OnEvent | None, progress: bool) -> OnEvent:
    """Return the callback of a study, which also shows each event if progress is requested.

    In a notebook, one output of the cell is changed; anywhere else, lines are printed.

    Args:
        on_event: of the caller.
        progress: whether events are shown.
    """
    following = on_event or ignore
    if not progress:
        return following

    show_line = _show_in_notebook() or _print

    def show(event: Event) -> None:
        show_line(event, _line(event))
        following(event)

    return show


def _print(event: Event, line: str | None) -> None:
    del event
    if line is not None:
        # To the stream of this moment: a program may replace it.
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none
            sys.stderr.write(f"{one_line(line)}\n")
            sys.stderr.flush()


def _show_in_notebook() -> Callable[[Event, str | None], None] | None:
    """Return what shows an event in the output of a notebook's cell; None without a notebook."""
    open_output = notebook_display()
    if open_output is None:
        return None
    progress = NotebookProgress()
    handle: Handle | None = None

    def show(event: Event, line: str | None) -> None:
        nonlocal handle
        progress.add(event, line)
        # A front end that is gone, or that cannot change an output, is no reason to stop a study.
        with contextlib.suppress(Exception):
            if handle is None:
                handle = open_output(progress)
            else:
                handle.update(progress)

    return show


def _line(event: Event) -> str | None:
    """Return what to print for an event; None for those of which there are many."""
    match event:
        case PreflightWarning(warning):
            return f"warning: {warning}"
        case Note(text):
            return f"note: {text}"
        case StudyStarted(folder=folder, n_runs=n_runs, left_s=left_s):
            if n_runs == 0:
                return f"nothing to run; results in {folder}"
            runs = "1 run" if n_runs == 1 else f"{n_runs} runs"
            return f"{runs} to do{_left(left_s)}; results in {folder}"
        case GapStarted(seconds=seconds) if seconds >= 1:
            return f"gap of {_duration(seconds)}"
        case RunStarted(index, cycle, label):
            return f"run {index} (cycle {cycle}): {label}"
        case RunFinished():
            energy_j = event.energy_per_output_token_j
            energy = "energy missing" if energy_j is None else f"{energy_j:.4g} J/token"
            figures = (
                f"{event.tokens_per_second:.4g} tokens/s, {energy}, {_duration(event.seconds)}"
            )
            return f"run {event.index}: {figures}; {event.n_left} left{_left(event.left_s)}"
        case RunFailed():
            retrying = ", retrying" if event.tried_again else ""
            error = f"{event.error_type}: {event.message}"
            return f"run {event.index} failed{retrying}: {error} (log: {event.log})"
        case StudyEnded(folder, status, reason):
            why = f" ({reason})" if reason else ""
            again = "" if status == "completed" else f"; resume_study({str(folder)!r}) continues it"
            return f"{status}{why}{again}"
    return None


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", about {_duration(seconds)}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
