"""What a caller allows a study: how often a crash is tried again, and how long all may take."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from llem_runner._control import Control
from llem_runner._errors import StudyError


class Limits:
    """A context; at its time limit the study is asked to stop, as by one Ctrl-C."""

    def __init__(self, control: Control, *, retry: int = 0, time_limit_s: float | None = None):
        """Make limits for one call, from now on.

        Args:
            control: asked to stop at the limit.
            retry: further attempts at a run that crashed.
            time_limit_s: for the whole call; None: none.

        Raises:
            StudyError: a number that is no limit.
        """
        if retry < 0:
            raise StudyError(f"retry: expected a whole number >= 0, found {retry}")
        if time_limit_s is not None and not time_limit_s > 0:
            raise StudyError(f"time limit: expected seconds > 0, found {time_limit_s:g}")
        self.retry = retry
        self.time_limit_s = time_limit_s
        self.reached = False
        """The limit has ended the study, not somebody at the keyboard."""
        self._control = control
        self._end_s = time.perf_counter() + time_limit_s if time_limit_s is not None else None
        self._timer: threading.Timer | None = None

    def allows(self, seconds: float | None) -> bool:
        """Tell whether something that takes so long, if that is known, may still begin."""
        if self._end_s is None:
            return True
        if time.perf_counter() + (seconds or 0.0) < self._end_s:
            return True
        self.reached = True
        return False

    @property
    def reason(self) -> str | None:
        """Return why the study ended before its last run; None if the limit is not why."""
        if not self.reached:
            return None
        return f"the time limit of {self.time_limit_s:g} s leaves no room for another run"

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
