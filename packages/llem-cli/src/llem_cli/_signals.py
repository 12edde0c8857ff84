"""Ctrl-C and SIGTERM as requests to the study; the library itself touches no signal."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from llem_runner import Control


@contextlib.contextmanager
def controlled() -> Iterator[Control]:
    """Return a control that the terminal drives: Ctrl-C stops, Enter skips a gap."""
    control = Control(skip_fd=_terminal())

    def ask(number: int, frame: object) -> None:
        del number, frame
        control.request_stop()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield control
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        control.close()


def _terminal() -> int | None:
    try:
        descriptor = sys.stdin.fileno()
        # A job in the background must not read: the kernel would stop it.
        foreground = os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor if foreground else None
