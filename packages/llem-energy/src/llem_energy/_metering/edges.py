"""The two ends of a window: readings next to them, and idle time in which power becomes known.

A quiet edge makes an end exact. The device idles for three updates of its counter, which is read
densely, so that idle power and the times of the updates next to the end are known. The window opens
just after an update. The counter of a GPU may lag, or its power may fall slowly: the idle time then
lasts until its power is that of idle, but 3 s at most. Before a window that is the power which the
sensor of power shows, or the lowest one before earlier windows. Where the power is higher than that, the
idle time lasts for 1.2 s, because the sensor may lag too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from llem_energy._metering.calibration import Calibration
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.settling import SETTLE_S, Moved, Settled, Steady
from llem_energy._metering.span import WindowSpan

GUARD_PERIODS = 3.2  # two whole intervals between updates, wherever the edge lies in an interval
UNKNOWN_PERIOD_S = 0.1  # the most common period, if calibration saw none
_MAX_GUARD_S = 2.0
_MIN_SETTLE_TIMEOUT_S = 2.0
_UPDATES_AFTER = 3
_RECENT = 5  # windows whose idle power is known: a board may idle at another power later
_SHORT_S = 0.5  # after a shorter window a late counter might show the work only after the idle time


class QuietEdge(NamedTuple):
    """Idle time before a window."""

    since_s: float
    """When the device had finished all earlier work."""
    idle_w: Mapping[str, float]
    """Power of each device that a counter has shown."""


class Edges:
    """Idles at the ends of windows, in any thread. It keeps only the idle power of the last windows."""

    def __init__(
        self,
        sampler: Sampler,
        calibration: Sequence[Calibration],
        devices: Sequence[str],
        idle_w: Mapping[str, float] | None = None,
    ) -> None:
        """Prepare.

        Args:
            sampler: already running.
            calibration: of the metered devices, if known.
            devices: the metered devices; without any no edge waits.
            idle_w: idle power of each device by its counter, if it was measured.
        """
        periods = [
            (c.counter_period_s or UNKNOWN_PERIOD_S) + (c.counter_jitter_s or 0.0)
            for c in calibration
        ]
        self.period_s = max(periods, default=UNKNOWN_PERIOD_S)
        """The longest time between two updates of a counter."""
        self.guard_s = min(GUARD_PERIODS * self.period_s, _MAX_GUARD_S)
        """The least idle time before a window."""
        self._sampler = sampler
        self._devices = devices
        self._recent_w: deque[Mapping[str, float]] = deque(maxlen=_RECENT)
        # Also from idle times that were not before a window.
        self._known_w: deque[Mapping[str, float]] = deque(maxlen=_RECENT)
        if idle_w:
            self.note_idle(idle_w)

    def note_idle(self, idle_w: Mapping[str, float]) -> None:
        """Note the idle power of each device by its counter: a window should not open far above it.

        After a window it does not count, because a device that has a context may idle at more power.
        """
        self._known_w.append(idle_w)

    def approach(self, since_s: float) -> QuietEdge:
        """Idle and read until power and the next update are known.

        Args:
            since_s: from when on the device idles.
        """
        guard_s = self.guard_s
        # Only a GPU is idle while its host waits; a processor is busy reading its own counter.
        watched = self._devices if self._sampler.meters_gpus else ()
        steady = Steady(watched, guard_s, _lowest_w(self._known_w))
        self._sampler.read_until(steady, max(guard_s, SETTLE_S if watched else 0.0))
        powers = {device: steady.power.watts(device) for device in watched}
        idle_w = {device: watts for device, watts in powers.items() if watts is not None}
        self._recent_w.append(idle_w)
        self._known_w.append(idle_w)
        self._sampler.read_until(Moved(self._devices[:1], 1), 1.5 * self.period_s)
        return QuietEdge(since_s, idle_w)

    def leave(self, quiet: QuietEdge, start_s: float, end_s: float) -> WindowSpan:
        """Idle after a window, and return it with its idle times.

        Args:
            quiet: the idle time before it.
            start_s: when it was opened.
            end_s: when it was closed, with the device idle since then.
        """
        self.settle(quiet.idle_w)
        if quiet.idle_w and end_s - start_s < _SHORT_S:
            rest_s = end_s + _SHORT_S - self._sampler.now_s()
            self._sampler.read_until(lambda _: False, rest_s)
        after_s = self._sampler.now_s() - end_s
        return WindowSpan(start_s, end_s, min(start_s - quiet.since_s, after_s), after_s)

    def settle(self, idle_w: Mapping[str, float]) -> None:
        """Read until every counter shows the energy used up to now, or does not move in time.

        Args:
            idle_w: the power that each device returns to; see `QuietEdge`.
        """
        settled = Settled(_UPDATES_AFTER, self._devices, idle_w, _lowest_w(self._recent_w))
        timeout_s = max(_MIN_SETTLE_TIMEOUT_S, (_UPDATES_AFTER + 1.5) * self.period_s)
        self._sampler.read_until(settled, max(timeout_s, SETTLE_S) if idle_w else timeout_s)


def _lowest_w(idle_w: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the lowest idle power of each device."""
    lowest_w: dict[str, float] = {}
    for powers in tuple(idle_w):
        for device, watts in powers.items():
            lowest_w[device] = min(watts, lowest_w.get(device, watts))
    return lowest_w
