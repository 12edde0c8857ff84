"""The time that a study still takes, in words, as it passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from llem_cli._display.console import duration
from llem_config.text import one_line

_DAY_S = 86400.0
_MAX_NAME = 16
"""Characters of a model's name in the bar, which has room for a line of 80."""


def unknown_times(models: Sequence[str]) -> str:
    """Return what takes time of which nothing is known, as an addition to what is: `loading gpt2`.

    Args:
        models: that this machine has not run before.
    """
    if not models:
        return ""
    if len(models) > 1:
        return f"loading {len(models)} models"
    name = models[0].rstrip("/").rsplit("/", 1)[-1].removeprefix("builtin:")
    return f"loading {one_line(name, _MAX_NAME)}"


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
        self._unknown = ""

    def estimate(self, left_s: float | None, least_s: float = 0.0, unknown: str = "") -> None:
        """Take a new estimate.

        Args:
            left_s: everything that is to come, in seconds; None if that is not known yet.
            least_s: what it takes at least.
            unknown: what takes time of which nothing is known, in words.
        """
        self._end_s = None if left_s is None else self._clock() + left_s
        self._least_s = least_s
        self._unknown = unknown

    def __str__(self) -> str:
        """Return the words, which follow a count of runs; empty if nothing is known."""
        if self._end_s is None:
            if self._least_s < 1:
                return ""
            more = f", plus {self._unknown}" if self._unknown else ""
            return f", at least {duration(self._least_s)}{more}"
        left_s = max(0.0, self._end_s - self._clock())
        if left_s < 1:
            return ""
        end = time.localtime(self._time_of_day() + left_s)
        day = "" if left_s < _DAY_S else "%A "
        return f", about {duration(left_s)} left, until {time.strftime(f'{day}%H:%M', end)}"
