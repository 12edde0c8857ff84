"""The time that a study still takes, in words, as it passes."""

from __future__ import annotations

import time
from collections.abc import Callable

from llem_cli._display.console import duration

_DAY_S = 86400.0


class TimeLeft:
    """Counts down from the last estimate, and tells at what time of the day the study ends."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; `clock` and `time_of_day` return seconds, the latter as Unix time."""
        self._clock = clock
        self._time_of_day = time_of_day
        self._end_s: float | None = None
        self._least_s = 0.0

    def estimate(self, left_s: float | None, least_s: float = 0.0) -> None:
        """Take a new estimate.

        Args:
            left_s: everything that is to come, in seconds; None if that is not known yet.
            least_s: what it takes at least.
        """
        self._end_s = None if left_s is None else self._clock() + left_s
        self._least_s = least_s

    def __str__(self) -> str:
        """Return the words, which follow a count of runs; empty if nothing is known."""
        if self._end_s is None:
            if self._least_s < 1:
                return ""
            return f", at least {duration(self._least_s)}, plus loading and warm-up"
        left_s = max(0.0, self._end_s - self._clock())
        if left_s < 1:
            return ""
        end = time.localtime(self._time_of_day() + left_s)
        day = "" if left_s < _DAY_S else "%A "
        return f", about {duration(left_s)} left, until {time.strftime(f'{day}%H:%M', end)}"
