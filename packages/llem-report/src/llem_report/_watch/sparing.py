"""Call a costly function seldom, so that watching a study does not disturb it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

_Type = TypeVar("_Type")
_MAX_SHARE = 0.01


class Sparing(Generic[_Type]):
    """Calls a function again when it is worth it, and returns its last value meanwhile.

    It is called if `renew` was called or `every_s` has passed since the last call, but never for more
    than 1 % of the time, and at most once in `min_s`.
    """

    def __init__(
        self,
        function: Callable[[], _Type],
        *,
        min_s: float = 1.0,
        every_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        cost_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._function = function
        self._min_s, self._every_s = min_s, every_s
        self._clock, self._cost_clock = clock, cost_clock
        self._is_stale = True
        self._called_s: float | None = None
        self._next_s = 0.0
        self._value: _Type | None = None
        self.has_called = False
        """Whether the last `call` called the function."""

    def renew(self) -> None:
        """Note that the value is out of date."""
        self._is_stale = True

    def call(self, *, at_once: bool = False) -> _Type | None:
        """Return the newest value; `at_once` if nothing can be disturbed."""
        now_s = self._clock()
        is_old = (
            self._every_s is not None
            and self._called_s is not None
            and now_s - self._called_s >= self._every_s
        )
        is_due = self._called_s is None or at_once or now_s >= self._next_s
        self.has_called = (self._is_stale or is_old) and is_due
        if self.has_called:
            self._is_stale = False
            before_s = self._cost_clock()
            self._value = self._function()
            cost_s = self._cost_clock() - before_s
            self._called_s = now_s
            self._next_s = now_s + max(self._min_s, cost_s / _MAX_SHARE)
        return self._value
