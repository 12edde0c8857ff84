"""The pause before a run, so that the GPU returns to its starting state."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from llem_energy import gpu_temperatures_c
from llem_runner._control import Control
from llem_runner._events import Event, GapEnded, GapStarted
from llem_runner._schedule import GapKind

COOLING_AT_MOST_S = 600.0
LONGEST_WAIT_S = 86_400.0  # the kernel's timeouts end at 24 days
_LOOK_EVERY_S = 1.0


def wait_gap(
    kind: GapKind,
    seconds: float,
    *,
    since_s: float,
    until_temperature_c: float | None,
    control: Control,
    on_event: Callable[[Event], None],
) -> None:
    """Wait until a gap is over, skipped, or the study is asked to stop.

    Args:
        kind: which gap.
        seconds: its length.
        since_s: when the measurement before it ended (`time.perf_counter`): writing results and
            starting the next worker happen inside the gap, not on top of it.
        until_temperature_c: go on, 600 s at most, until every GPU is this cool; None: do not.
        control: skips it or asks to stop.
        on_event: told when it begins and ends.
    """
    left_s = since_s + seconds - time.perf_counter()
    if left_s <= 0 and until_temperature_c is None:
        return
    control.forget_lines()
    on_event(GapStarted(kind, max(0.0, left_s), until_temperature_c))
    skipped = _sleep(left_s, control)
    if until_temperature_c is not None:
        deadline_s = time.perf_counter() + COOLING_AT_MOST_S
        while not skipped and not control.stop_requested and time.perf_counter() < deadline_s:
            if all(degrees <= until_temperature_c for degrees in gpu_temperatures_c()):
                break
            skipped = _sleep(_LOOK_EVERY_S, control)
    on_event(GapEnded(skipped))


def _sleep(seconds: float, control: Control) -> bool:
    """Sleep; return early, and true, if a line on the terminal skips the gap."""
    deadline_s = time.perf_counter() + seconds
    watched: list[Any] = [control.fileno()]
    if control.skip_fd is not None:
        watched.append(control.skip_fd)
    while (left_s := deadline_s - time.perf_counter()) > 0:
        ready = wait(watched, timeout=min(left_s, LONGEST_WAIT_S))
        if control.fileno() in ready or control.stop_requested:
            return False
        if control.skip_fd in ready:
            if control.read_line():
                return True
            watched.remove(control.skip_fd)  # end of file: nobody there to skip anything
    return False
