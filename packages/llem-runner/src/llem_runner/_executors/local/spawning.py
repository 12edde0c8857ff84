"""What starting a process takes beside starting it: quiet for its first moments, a sign of its end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Hold SIGINT back, here and in the process that is started; `worker_main` lets it through.

    A terminal sends it to all of its processes, and one so young would fill the screen with a
    traceback of its imports.
    """
    resource_tracker.ensure_running()  # it would let the signal through when it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_of(process: Any) -> int:
    """Return a descriptor that is readable once a process has ended.

    Where the kernel has none of its own, the sentinel has to do; it stays silent as long as
    anything that the process has forked is alive.
    """
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(process.pid)
    sentinel: int = process.sentinel
    return sentinel
