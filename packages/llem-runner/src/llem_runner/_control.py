"""How a caller stops a study or skips a gap: from a signal handler, a thread or a terminal.

The library installs no signal handlers of its own. Everything that waits also waits for this
object, so that a request is seen at once and nothing has to poll.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Iterator

LONGEST_WAIT_S = 86_400.0  # the kernel's timeouts end at 24 days


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
        self._measuring_thread: int | None = None

    @contextlib.contextmanager
    def measuring_here(self) -> Iterator[None]:
        """Say that this very thread measures, so that only an exception can stop it.

        A stop that another thread asks for then takes effect after the measurement.
        """
        self._measuring_thread = threading.get_ident()
        try:
            if self.stop_requested:  # in the moment before we said so
                raise KeyboardInterrupt
            yield
        finally:
            self._measuring_thread = None

    def request_stop(self) -> None:
        """Ask the study to stop; safe in a signal handler and from any thread."""
        self.n_requests += 1
        with contextlib.suppress(OSError):  # full, which says the same; or closed already
            os.write(self._write_fd, b"!")
        if self._measuring_thread == threading.get_ident():
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

    def forget_lines(self) -> None:
        """Drop lines that were typed earlier: they were not meant for the gap that begins now."""
        descriptor = self.skip_fd
        while descriptor is not None and self._may_read():
            if not select.select([descriptor], [], [], 0)[0] or not self.read_line():
                return

    def read_line(self) -> bool:
        """Tell whether a line was typed; false at the end of the file."""
        return self.skip_fd is not None and self._may_read() and bool(os.read(self.skip_fd, 4096))

    def _may_read(self) -> bool:
        if self.skip_fd is None:
            return False
        try:
            # A job sent to the background must not read: the kernel would halt it.
            return not os.isatty(self.skip_fd) or os.tcgetpgrp(self.skip_fd) == os.getpgrp()
        except OSError:
            return False

    @classmethod
    @contextlib.contextmanager
    def owned(cls, given: Control | None) -> Iterator[Control]:
        """Give the caller's control, or one that ends with the context."""
        control = given or cls()
        try:
            yield control
        finally:
            if given is None:
                control.close()

    def close(self) -> None:
        """Give the descriptors back; safe to call twice."""
        for descriptor in (self._read_fd, self._write_fd):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._read_fd = self._write_fd = -1
