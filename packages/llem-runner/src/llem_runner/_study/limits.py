"""The limits of one call: retries after a crash, and the time budget of the study."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from llem_runner._control import Control
from llem_runner._errors import StudyError


class Limits:
    """A context; when the time budget is used up, it requests a stop, as one Ctrl-C does."""

    def __init__(self, control: Control, *, retry: int = 0, time_limit_s: float | None = None):
        """Make the limits of one call; the time counts from now.

        Args:
            control: receives the request to stop.
            retry: number of further attempts at a run that crashed.
            time_limit_s: for the whole call, in seconds; None: no limit.

        Raises:
            StudyError: a number is out of range.
        """
        if retry < 0:
            raise StudyError(f"retry: expected a whole number >= 0, found {retry}")
        if time_limit_s is not None and not time_limit_s > 0:
            raise StudyError(f"time limit: expected seconds > 0, found {time_limit_s:g}")
        self.retry = retry
        self.time_limit_s = time_limit_s
        self.reached = False
        """Whether the time limit has ended the study."""
        self._control = control
        self._end_s = time.perf_counter() + time_limit_s if time_limit_s is not None else None
        self._timer: threading.Timer | None = None

    def allows(self, seconds: float | None) -> bool:
        """Return whether a run may begin that takes `seconds` (None: unknown)."""
        if self._end_s is None:
            return True
        if time.perf_counter() + (seconds or 0.0) < self._end_s:
            return True
        self.reached = True
        return False

    @property
    def reason(self) -> str | None:
        """Return why the study ended before its last run; None if not because of the limit."""
        if not self.reached:
            return None
        return f"the time limit of {self.time_limit_s:g} s leaves no time for another run"

    def __enter__(self) -> Limits:
        """Start the clock."""
        if self.time_limit_s is not None:
            self._timer = threading.Timer(min(self.time_limit_s, threading.TIMEOUT_MAX), self._end)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def _end(self) -> None:
        if not self._control.stop_requested:
            self.reached = True
            self._control.request_stop()
