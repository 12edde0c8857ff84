"""The gap before a run, in which the GPU returns to its starting state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

import msgspec

from llem_config import Settings
from llem_runner._control import MAX_WAIT_S, Control
from llem_runner._events import Event, GapEnded, GapStarted, GapTelemetry
from llem_runner._gpus.state import Gpus, temperatures_of
from llem_runner._plan.schedule import GapKind

_COOLING_INTERVAL_S, _TELEMETRY_INTERVAL_S = 1.0, 5.0


class Cooling(msgspec.Struct, frozen=True, kw_only=True):
    """How cool GPUs must be before a gap ends."""

    until_c: float | None = None
    within_c: float | None = None
    """Above the temperature of each GPU before the study's first run."""
    first_c: dict[str, float] = {}
    """Temperatures before the first run, by UUID; a GPU without one is not limited by `within_c`."""
    timeout_s: float = math.inf
    """After which the gap ends anyway, counted from the end of its own seconds."""

    @classmethod
    def of(cls, settings: Settings, first_c: dict[str, float] | None) -> Cooling:
        """Return the limits in the settings of this machine."""
        execution = settings.execution
        return cls(
            until_c=execution.gap_until_temperature_c,
            within_c=execution.gap_within_c,
            first_c=first_c or {},
            timeout_s=execution.gap_at_most_seconds,
        )

    @property
    def is_limited(self) -> bool:
        """Return whether a gap waits for any temperature."""
        return self.until_c is not None or (self.within_c is not None and bool(self.first_c))

    def limit_c(self, uuid: str) -> float:
        """Return the maximum temperature of one GPU."""
        limits = [math.inf if self.until_c is None else self.until_c]
        if self.within_c is not None and uuid in self.first_c:
            limits.append(self.first_c[uuid] + self.within_c)
        return min(limits)

    def is_cool(self, temperatures_c: dict[str, float]) -> bool:
        """Return whether every GPU is cool enough."""
        return all(value_c <= self.limit_c(uuid) for uuid, value_c in temperatures_c.items())

    @property
    def sentence(self) -> str | None:
        """Return what the gap waits for, in words; None if there is no limit."""
        limits = []
        if self.until_c is not None:
            limits.append(f"every GPU is at {self.until_c:g} C")
        if self.within_c is not None and self.first_c:
            limits.append(f"every GPU is within {self.within_c:g} C of the first run")
        return " and ".join(limits) or None


class Gap:
    """One gap."""

    def __init__(
        self,
        kind: GapKind,
        end_s: float,
        *,
        cooling: Cooling,
        gpus: Gpus,
        control: Control,
        on_event: Callable[[Event], None],
    ) -> None:
        """Plan a gap.

        Args:
            kind: between two runs of a cycle, or between two cycles.
            end_s: when its seconds are over (`time.perf_counter`). They count from the end of the
                measurement before it, so that writing the result and starting the next process
                are part of the gap.
            cooling: the temperatures that GPUs must reach.
            gpus: the GPUs whose temperatures count and are reported.
            control: skips the gap, or requests a stop.
            on_event: called at its beginning and end, and for each reading of the GPUs.
        """
        self._kind = kind
        self._end_s = end_s
        self._cooling = cooling
        self._gpus = gpus
        self._control = control
        self._on_event = on_event

    def wait(self) -> None:
        """Wait until it is over or skipped, or until a stop is requested."""
        left_s = self._end_s - time.perf_counter()
        cooling = self._cooling
        if left_s <= 0 and not cooling.is_limited:
            return
        self._control.forget_lines()
        self._on_event(GapStarted(self._kind, max(0.0, left_s), cooling.sentence))
        skipped = self._wait_seconds(left_s)
        cool = None
        if cooling.is_limited and not skipped:
            skipped, cool = self._cool_down()
        self._on_event(GapEnded(skipped, cool))

    def _wait_seconds(self, left_s: float) -> bool:
        """Wait for the seconds of the gap; return early, and true, if they are skipped."""
        if not self._gpus.uuids:
            return _sleep(left_s, self._control)
        while not self._control.stop_requested:
            left_s = self._end_s - time.perf_counter()
            if left_s <= 0:
                return False
            # Not in the last moment: a reading takes processor time, and the next run begins soon.
            if left_s > _COOLING_INTERVAL_S:
                self._read_gpus()
            if _sleep(min(_TELEMETRY_INTERVAL_S, self._end_s - time.perf_counter()), self._control):
                return True
        return False

    def _cool_down(self) -> tuple[bool, bool]:
        """Wait for the GPUs; return whether the wait was skipped, and whether they are cool."""
        deadline_s = time.perf_counter() + self._cooling.timeout_s
        while not (cool := self._cooling.is_cool(self._read_gpus())):
            if self._control.stop_requested or time.perf_counter() >= deadline_s:
                break
            if _sleep(_COOLING_INTERVAL_S, self._control):
                return True, False
        return False, cool

    def _read_gpus(self) -> dict[str, float]:
        states = self._gpus.states()
        temperatures_c = temperatures_of(states)
        power_w = {u: s.power_w for u, s in states.items() if s.power_w is not None}
        self._on_event(GapTelemetry(temperatures_c, power_w))
        return temperatures_c


def _sleep(seconds: float, control: Control) -> bool:
    """Sleep; return early, and true, if a line on the terminal skips the gap."""
    deadline_s = time.perf_counter() + seconds
    watched: list[Any] = [control.fileno()]
    if control.skip_fd is not None:
        watched.append(control.skip_fd)
    while (left_s := deadline_s - time.perf_counter()) > 0:
        ready = wait(watched, timeout=min(left_s, MAX_WAIT_S))
        if control.fileno() in ready or control.stop_requested:
            return False
        if control.skip_fd in ready:
            if control.read_line():
                return True
            watched.remove(control.skip_fd)  # end of file: no line can come any more
    return False
