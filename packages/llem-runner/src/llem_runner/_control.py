"""How a caller stops a study or skips a gap: from a signal handler, a thread or a terminal.

The library installs no signal handlers of its own. Everything that waits also waits for this
object, so that a request is seen at once and nothing has to poll.
"""

from __future__ import annotations

import contextlib
import os
import threading


class Control:
    """A request to stop, waitable like a pipe."""

    def __init__(self, skip_fd: int | None = None) -> None:
        """Make a control.

        Args:
            skip_fd: a file descriptor, e.g. of a terminal; a line on it skips a gap.
        """
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self.skip_fd = skip_fd
        self.n_requests = 0
        """How often a stop was asked for: 1 asks politely, 2 kills."""
        self.measuring_here = False
        """A measurement runs in this very thread and can be stopped by an exception only."""

    def request_stop(self) -> None:
        """Ask the study to stop; safe in a signal handler and from any thread."""
        self.n_requests += 1
        with contextlib.suppress(BlockingIOError):
            os.write(self._write_fd, b"!")
        if self.measuring_here and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    @property
    def stop_requested(self) -> bool:
        """Tell whether a stop was asked for."""
        return self.n_requests > 0

    def fileno(self) -> int:
        """Return a descriptor that is readable after a request; see `acknowledge`."""
        return self._read_fd

    def acknowledge(self) -> None:
        """Wait for further requests only."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_fd, 1024)

    def close(self) -> None:
        """Give the descriptors back; safe to call twice."""
        for descriptor in (self._read_fd, self._write_fd):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._read_fd = self._write_fd = -1
