"""Noticing a run that makes no progress: no message, no line in its log, no processor time.

A run that waits for ever, for a lock, a file server or a process that is gone, would else cost the
whole timeout. One that computes in a circle is not told apart from one that works: that is what the
timeout is for.
"""

from __future__ import annotations

import time
from pathlib import Path

from llem_runner._executors.local.process_tree import Family

_Signs = tuple[int, int]


class StallWatch:
    """Looks at a run once per limit, so seldom that the measurement does not notice."""

    def __init__(self, family: Family, log: Path, limit_s: float) -> None:
        self._family = family
        self._log = log
        self._limit_s = limit_s
        self._signs: _Signs | None = None
        self._due_s = time.perf_counter() + limit_s

    def heard(self) -> None:
        """Take note of a message."""
        self._signs = None
        self._due_s = time.perf_counter() + self._limit_s

    @property
    def left_s(self) -> float:
        """Return the seconds until it is worth asking."""
        return max(0.0, self._due_s - time.perf_counter())

    def is_stalled(self) -> bool:
        """Tell whether nothing at all has happened for the limit, or up to twice as long."""
        if self.left_s > 0:
            return False
        now = self._look()
        stalled = self._signs == now
        self._signs = now
        self._due_s = time.perf_counter() + self._limit_s
        return stalled

    def _look(self) -> _Signs:
        size = self._log.stat().st_size if self._log.exists() else 0
        return self._family.processor_ticks(), size
