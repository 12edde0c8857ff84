"""Signals that stop a study cleanly; the library itself installs no signal handlers."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from llem_runner import Control

_MAY_BE_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU)
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, *_MAY_BE_IGNORED)
"""Ctrl-C; `kill` and batch systems; a closed terminal; the warnings before a time limit that batch
systems send; and a limit of processor time. Without a handler, each would end this process with a
run that is not recorded."""


@contextlib.contextmanager
def controlled_by_terminal() -> Iterator[Control]:
    """Yield a control for a study: signals stop it, Enter skips a gap.

    SIGUSR2 asks a shard to end before its time limit; any other study it stops.

    The signals in `_MAY_BE_IGNORED` stay ignored if they are, as SIGHUP is under `nohup`. Not SIGUSR2:
    a batch script ignores it until this handler is there, because it would end Python.
    """
    control = Control(skip_fd=_foreground_terminal())

    def request_stop(number: int, frame: object) -> None:
        del frame
        if number == signal.SIGUSR2:
            control.request_end()
        else:
            control.request_stop()

    previous = {
        number: signal.signal(number, request_stop)
        for number in _STOPPING
        if number not in _MAY_BE_IGNORED or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield control
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        control.close()


def _foreground_terminal() -> int | None:
    """Return the descriptor of stdin if it is a terminal that this process may read."""
    try:
        descriptor = sys.stdin.fileno()
        # The kernel suspends a background job that reads from its terminal.
        foreground = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor if foreground else None
