"""Notices a run that makes no progress: no message, no log line, no processor time.

Without it, a run that waits forever (for a lock, a file server, a process that is gone) would cost
the whole timeout. An endless computation looks like progress; for that there is the timeout.
"""

from __future__ import annotations

import time
from pathlib import Path

from llem_runner._executors.local.process_tree import ProcessTree

_Progress = tuple[int, int]


class StallDetector:
    """Looks at a run once per limit, so rarely that the measurement is not disturbed."""

    def __init__(self, tree: ProcessTree, log: Path, limit_s: float) -> None:
        self._tree = tree
        self._log = log
        self._limit_s = limit_s
        self._progress: _Progress | None = None
        self._due_s = time.perf_counter() + limit_s

    def restart(self) -> None:
        """Start again, because a message has arrived."""
        self._progress = None
        self._due_s = time.perf_counter() + self._limit_s

    @property
    def left_s(self) -> float:
        """Return the seconds until `is_stalled` looks again."""
        return max(0.0, self._due_s - time.perf_counter())

    def is_stalled(self) -> bool:
        """Return whether nothing has happened for the limit (noticed after up to twice as long)."""
        if self.left_s > 0:
            return False
        progress = self._read_progress()
        stalled = self._progress == progress
        self._progress = progress
        self._due_s = time.perf_counter() + self._limit_s
        return stalled

    def _read_progress(self) -> _Progress:
        size = self._log.stat().st_size if self._log.exists() else 0
        return self._tree.processor_ticks(), size
