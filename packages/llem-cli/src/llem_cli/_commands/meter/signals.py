"""Signals while another program is measured: they reach it, and what was measured is still printed.

The signals are blocked and fetched one by one. So none is lost between two instructions, none ends
this process, and each has its origin: the terminal sends Ctrl-C to the measured program as well.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import NamedTuple

FATAL = 128
"""Exit code of a shell for a program that a signal ended, minus the number of the signal."""
_SENT_BY_KERNEL = 0x80  # SI_KERNEL of Linux
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PASSED_ON = (*_STOPPING, signal.SIGUSR1, signal.SIGUSR2)
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


class Received(NamedTuple):
    """A signal that this process received."""

    number: int
    is_for_all: bool
    """Whether the terminal sent it to every process in its foreground, such as with Ctrl-C."""

    @property
    def stops(self) -> bool:
        """Whether it ends a program that has no handler for it."""
        return self.number in _STOPPING


class SignalQueue:
    """The signals that arrive while `fetched_signals` is active."""

    def __init__(self, blocked: set[int], before: set[int]) -> None:
        self._blocked = blocked
        self.mask_before = before
        """The signals that were blocked already; those of a program that is started."""

    def wait(self, timeout_s: float) -> Received | None:
        """Return the next signal; None after the timeout, or if a child process changed.

        Args:
            timeout_s: 0 returns a signal that has arrived already.
        """
        info = signal.sigtimedwait(self._blocked, max(0.0, timeout_s))
        if info is None or info.si_signo == signal.SIGCHLD:
            return None
        is_for_all = info.si_code == _SENT_BY_KERNEL and info.si_signo in _FROM_TERMINAL
        return Received(info.si_signo, is_for_all)

    def stop_requested(self) -> int | None:
        """Return the first signal to stop that has arrived; None if there is none."""
        while signal.sigpending() & self._blocked:
            received = self.wait(0)
            if received is not None and received.stops:
                return received.number
        return None


@contextlib.contextmanager
def fetched_signals() -> Iterator[SignalQueue]:
    """Block the signals that end or inform programs, and yield the queue of those that arrive.

    Enter it before other threads start, which inherit what is blocked; any other thread would
    receive the signals. A signal that is ignored, such as SIGHUP under `nohup`, stays ignored.
    """
    heard = {n for n in _PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN}
    # If it is ignored, the kernel keeps no exit code of a child.
    child_handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    blocked = {int(number) for number in (*heard, signal.SIGCHLD)}
    before = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, blocked)}
    queue = SignalQueue(blocked, before)
    try:
        yield queue
    finally:
        # What arrives after the end would end this process before its output.
        while signal.sigpending() & blocked:
            queue.wait(0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGCHLD, child_handler)
