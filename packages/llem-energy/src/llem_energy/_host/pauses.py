"""Finds out whether this process was stopped: by SIGSTOP, a debugger, or a paused machine.

A stopped process cannot notice it while it lasts. A thread wakes up ten times a second, and
wakes up late after a stop. It is late too if the thread that does the work computes without
releasing the interpreter, or if both wait for a CPU; the kernel counts these times, and they are
subtracted.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

from llem_energy._host.run_thread import wait_file, waited_s

_TICK_S = 0.1
_MIN_PAUSE_S = 0.25  # a shorter delay may be an accident of scheduling


class PauseWatch:
    """Watches the process and the calling thread inside a `with` block."""

    def __init__(self) -> None:
        self.stopped_s = 0.0
        """Time in which the process did not run and did not wait for a CPU; after the block."""
        self._work_waits = wait_file()
        self._work_clock = _clock_of_this_thread()
        # A lock that only `__exit__` releases: waiting for it with a timeout is one call.
        self._running = threading.Lock()
        self._running.acquire()
        self._thread = threading.Thread(target=self._run, name="llem-pauses", daemon=True)

    def __enter__(self) -> PauseWatch:
        # Read here, because a stop may come before the thread runs for the first time.
        self._begin = time.perf_counter(), self._work_s(), 0.0
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.release()
        self._thread.join()

    def _run(self) -> None:
        waits = wait_file()
        before = self._begin
        is_over = False
        while not is_over:
            is_over = self._running.acquire(timeout=_TICK_S)
            now = time.perf_counter(), self._work_s(), _seconds(waits)
            late_s = now[0] - before[0] - _TICK_S
            if late_s >= _MIN_PAUSE_S:
                explained_s = max(now[1] - before[1], now[2] - before[2])
                pause_s = late_s - explained_s
                self.stopped_s += pause_s if pause_s >= _MIN_PAUSE_S else 0.0
            before = now

    def _work_s(self) -> float:
        """Return how long the thread that does the work has run or waited for a CPU."""
        ran_s = 0.0 if self._work_clock is None else time.clock_gettime(self._work_clock)
        return ran_s + _seconds(self._work_waits)


def _clock_of_this_thread() -> int | None:
    if not hasattr(time, "pthread_getcpuclockid"):
        return None
    return time.pthread_getcpuclockid(threading.get_ident())


def _seconds(file: Path) -> float:
    return waited_s(file) or 0.0
