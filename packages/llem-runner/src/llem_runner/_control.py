"""Stop a study or skip a gap: from a signal handler, a thread or a terminal.

The library installs no signal handlers. All code that waits also waits for this object, so that a
request takes effect at once.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterator

MAX_WAIT_S = 2.0
"""Maximum duration of one wait. Python handles a signal in the main thread between two
instructions. A signal that arrives just before a wait begins, or in another thread, does not
interrupt the wait, so Ctrl-C would be ignored until the next message of the run."""


class Control:
    """A request to stop, which code can wait for like a pipe."""

    def __init__(self, skip_fd: int | None = None) -> None:
        """Create a control without a request.

        Args:
            skip_fd: a file descriptor, e.g. of a terminal; a line read from it skips a gap.
        """
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)
        self.skip_fd = skip_fd
        self.n_requests = 0
        """Number of stop requests. The first lets a run end cleanly; the second kills it."""
        self._measuring_thread: int | None = None
        self._on_end: Callable[[], None] | None = None
        self.end_requested = False
        """Whether no further run should begin."""

    def request_end(self) -> None:
        """Request that no further run begins; safe in a signal handler and from any thread.

        Only a shard knows how long its present run may still take. Anything else just stops.
        """
        self.end_requested = True
        (self._on_end or self.request_stop)()

    @contextlib.contextmanager
    def ending_by(self, on_end: Callable[[], None]) -> Iterator[None]:
        """Call `on_end` when an end is requested, instead of stopping at once."""
        self._on_end = on_end
        try:
            yield
        finally:
            self._on_end = None

    @contextlib.contextmanager
    def measuring_here(self) -> Iterator[None]:
        """Mark the current thread as measuring, so that a stop raises KeyboardInterrupt in it.

        A stop that another thread requests takes effect after the measurement.

        Raises:
            KeyboardInterrupt: a stop was requested before or during the measurement.
        """
        self._measuring_thread = threading.get_ident()
        try:
            if self.stop_requested:  # just before the thread was marked
                raise KeyboardInterrupt
            yield
        finally:
            self._measuring_thread = None

    def request_stop(self) -> None:
        """Request that the study stops; safe in a signal handler and from any thread."""
        self.n_requests += 1
        with contextlib.suppress(OSError):  # full: requested already; or closed
            os.write(self._write_fd, b"!")
        if self._measuring_thread == threading.get_ident():
            raise KeyboardInterrupt

    @property
    def stop_requested(self) -> bool:
        """Return whether a stop was requested."""
        return self.n_requests > 0

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when a stop is requested."""
        return self._read_fd

    def acknowledge(self) -> None:
        """Clear the descriptor, so that it becomes readable again only at the next request."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_fd, 1024)

    def forget_lines(self) -> None:
        """Discard lines typed earlier: they were not meant for the gap that begins now."""
        descriptor = self.skip_fd
        while descriptor is not None and self._may_read():
            if not select.select([descriptor], [], [], 0)[0] or not self.read_line():
                return

    def read_line(self) -> bool:
        """Return whether a line was typed; false at the end of the file."""
        return self.skip_fd is not None and self._may_read() and bool(os.read(self.skip_fd, 4096))

    def _may_read(self) -> bool:
        if self.skip_fd is None:
            return False
        try:
            # A background job must not read from its terminal: the kernel would stop the process.
            return not os.isatty(self.skip_fd) or os.tcgetpgrp(self.skip_fd) == os.getpgrp()
        except OSError:
            return False

    @classmethod
    @contextlib.contextmanager
    def owned(cls, given: Control | None) -> Iterator[Control]:
        """Yield the caller's control, or a new one that is closed with the context."""
        control = given or cls()
        try:
            yield control
        finally:
            if given is None:
                control.close()

    def close(self) -> None:
        """Close the descriptors; safe to call twice."""
        for descriptor in (self._read_fd, self._write_fd):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._read_fd = self._write_fd = -1
