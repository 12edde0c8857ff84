"""When the steps of the work in a window ended."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

_KEPT = 100_000  # about as many tokens as in an hour


class StepTimes:
    """When steps ended; the newest hundred thousand of them. Safe to use from several threads."""

    __slots__ = ("_ends_s",)

    def __init__(self) -> None:
        self._ends_s: deque[float] = deque(maxlen=_KEPT)

    def add(self, end_s: float) -> None:
        """Note the end of a step, in seconds of `time.perf_counter`."""
        self._ends_s.append(end_s)

    def repeated_s(self) -> tuple[float, ...]:
        """Return median and mean time between the ends of two steps; () if fewer than two ended."""
        import statistics  # takes as long to import as the meter

        ends_s = sorted(self._ends_s)
        steps_s = [later_s - earlier_s for earlier_s, later_s in pairwise(ends_s)]
        if not steps_s:
            return ()
        return statistics.median(steps_s), statistics.fmean(steps_s)
