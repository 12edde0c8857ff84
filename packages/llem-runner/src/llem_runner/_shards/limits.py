"""The limits of one attempt at a shard: its time, a warning of its end, and a later attempt."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from llem_runner._control import Control
from llem_runner._events import Event, OnEvent, RunFailed, RunFinished, RunStarted
from llem_runner._shards.records import Place
from llem_runner._study.limits import Limits

WARNING_S = 60.0
"""How long a run may go on after the warning that the time limit is near. Batch systems send it two
minutes before the end, up to a minute early."""
_MARGIN_S, _MARGIN_SHARE = 120.0, 0.15
"""Of a time limit, for the end of the last run and its files: at most these seconds, at most this share."""
_LATE_S = 5.0
"""A stop so shortly before the end of the time, or later, is that of the time limit itself."""

Ending = Literal["again", "fenced", "stopped"]


def seconds_left(place: Place | None) -> float | None:
    """Return how long runs may take here, in seconds; None: no limit is known."""
    left_s = seconds_to_end(place)
    return None if left_s is None else max(1.0, left_s - min(_MARGIN_S, _MARGIN_SHARE * left_s))


def seconds_to_end(place: Place | None) -> float | None:
    """Return when a cluster will end this process, in seconds from now; None: not known."""
    if place is None or place.ends_at is None:
        return None
    return place.ends_at - time.time()


class ShardLimits(Limits):
    """A context; it also ends the runs once another process has begun a later attempt."""

    def __init__(
        self,
        control: Control,
        *,
        retry: int,
        time_limit_s: float | None,
        is_superseded: Callable[[], bool],
        warning_s: float = WARNING_S,
        killed_in_s: float | None = None,
    ) -> None:
        """Make the limits of an attempt; the time counts from now.

        Args:
            control: receives the request to stop; its request to end is handled here.
            retry: number of further attempts at a run that crashed.
            time_limit_s: for all runs, in seconds; None: no limit.
            is_superseded: whether there is a later attempt at the shard.
            warning_s: how long a run may go on after a request to end, in seconds.
            killed_in_s: when the cluster will end this process, in seconds from now; None: not known.
        """
        super().__init__(control, retry=retry, time_limit_s=time_limit_s)
        self.is_fenced = False
        self._is_superseded = is_superseded
        self._warning_s = warning_s
        self._is_near = threading.Event()
        self._is_over = threading.Event()
        self._is_running = threading.Event()
        self._control = control
        self._n_own_stops = 0
        self._counting = threading.Lock()
        self._killed_at_s = math.inf if killed_in_s is None else time.monotonic() + killed_in_s
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def allows(self, seconds: float | None) -> bool:
        """Return whether a run may begin that takes `seconds` (None: unknown)."""
        self.is_fenced = self.is_fenced or self._is_superseded()
        return not self.is_fenced and not self._is_near.is_set() and super().allows(seconds)

    @property
    def ending(self) -> Ending:
        """Return why the runs ended before the last."""
        if self.is_fenced:
            return "fenced"
        if self.is_stopped_by_others:
            return "stopped"
        return "again" if self.reached or self._is_near.is_set() else "stopped"

    @property
    def reason(self) -> str | None:
        """Return why the runs ended before the last, in words; None if on request."""
        if self.is_fenced:
            return "another process has begun a later attempt at this shard"
        if self.is_stopped_by_others:
            return None
        if self._is_near.is_set():
            return "the end of its time on this machine was announced"
        return super().reason

    @property
    def is_stopped_by_others(self) -> bool:
        """Return whether someone else requested a stop, also after the end of the time was near.

        A cluster stops a process so that is cancelled or preempted, which it must not be asked to start
        again; and one whose time is over.
        """
        is_over = time.monotonic() >= self._killed_at_s - _LATE_S
        return self._control.n_requests > self._n_own_stops and not is_over

    def _stop(self) -> None:
        with self._counting:  # from several threads
            self._n_own_stops += 1
        self._control.request_stop()

    def following(self, on_event: OnEvent) -> OnEvent:
        """Return a callback that also notes whether a run is in progress."""

        def follow(event: Event) -> None:
            if isinstance(event, RunStarted):
                self._is_running.set()
            on_event(event)
            if isinstance(event, RunFinished | RunFailed):
                self._is_running.clear()
                if self._is_near.is_set():  # do not wait for the gap to end
                    self._stop()

        return follow

    def __enter__(self) -> ShardLimits:
        """Start the clock."""
        super().__enter__()
        self._ending = self._control.ending_by(self._is_near.set)
        self._ending.__enter__()
        self._watcher.start()
        if self._control.end_requested:
            self._n_own_stops = min(
                1, self._control.n_requests
            )  # it came before this could handle it
            self._is_near.set()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the clock."""
        self._ending.__exit__(None, None, None)
        self._is_over.set()
        is_near = self._is_near.is_set()
        self._is_near.set()  # wakes the watcher
        self._watcher.join()
        if not is_near:
            self._is_near.clear()
        super().__exit__(kind, error, trace)

    def _watch(self) -> None:
        self._is_near.wait()
        if self._is_running.is_set():
            self._is_over.wait(self._warning_s)
        if not self._is_over.is_set() and not self._control.stop_requested:
            self._stop()

    def _end(self) -> None:
        if not self._control.stop_requested:
            self.reached = True
            self._stop()
