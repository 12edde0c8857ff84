"""A spawned process: started without interrupts, waitable, and killed with its whole group."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any


class SpawnedProcess:
    """A child process that makes itself the leader of a new group and session."""

    def __init__(self, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """Start it.

        Args:
            target: importable by the child.
            arguments: of `target`; they are pickled.
        """
        # Spawn: a forked child would inherit a CUDA context that it cannot use, and our threads'
        # locks.
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(
            target=target, args=arguments, name="llem-run", daemon=False
        )
        with _without_interrupts():
            self._process.start()
        self.pid: int = self._process.pid or 0
        self._end = _end_descriptor(self._process)
        self._is_reaped = False

    def fileno(self) -> int:
        """Return a descriptor that is readable once the process has ended."""
        return self._end

    def wait(self, timeout_s: float) -> bool:
        """Wait for the process to end; return whether it has."""
        return bool(wait([self._end], timeout=timeout_s))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is still there."""
        if not self._is_reaped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill the process and its group.

        Only before `reap`, after which the kernel may give the number of the group to another.
        (Starting another process reaps this one too; on Linux its guard keeps the number then.)
        """
        if self._is_reaped:
            return
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # So young that it has no group of its own yet, or gone already.
            with contextlib.suppress(ProcessLookupError, ValueError):
                self._process.kill()

    def reap(self, timeout_s: float) -> int | None:
        """Collect the process, and return its exit code, negative for a signal.

        None if it has not ended by then: the kernel keeps a killed process that waits for a device.
        """
        self._process.join(timeout_s)
        self._is_reaped = True
        return self._process.exitcode

    def close(self) -> None:
        """Close the descriptor; safe to call twice."""
        if self._end != self._process.sentinel:
            with contextlib.suppress(OSError):
                os.close(self._end)
            self._end = self._process.sentinel


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block SIGINT, here and in the process that is started; `child_main` unblocks it.

    A terminal sends it to all of its processes; one that still imports would print a traceback.
    """
    resource_tracker.ensure_running()  # it would unblock the signal when it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_descriptor(process: Any) -> int:
    """Return a descriptor that is readable once a process has ended.

    Without pidfd it is the sentinel, which stays silent while anything that the process has forked
    is alive.
    """
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(process.pid)
    sentinel: int = process.sentinel
    return sentinel
