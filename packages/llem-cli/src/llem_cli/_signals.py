"""Ctrl-C and SIGTERM ask the study to stop; the library itself installs no signal handlers."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from llem_runner import Control


@contextlib.contextmanager
def controlled_by_terminal() -> Iterator[Control]:
    """Yield a control for a study: Ctrl-C and SIGTERM stop it, Enter skips a gap."""
    control = Control(skip_fd=_foreground_terminal())

    def request_stop(number: int, frame: object) -> None:
        del number, frame
        control.request_stop()

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, request_stop) for number in signals}
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
