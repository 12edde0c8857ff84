"""One measured window: a guard of idle time, the repeated work, another guard.

The guards make the ends of the window exact. The device idles for three updates of its counter,
which is read densely, so that idle power and the times of the updates next to each end are known.
The window opens just after an update. The counter of a GPU may lag, or its power may fall slowly:
a guard then lasts until its power is that of idle, but 3 s at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from llem_energy._host.family import Family, FamilyReading, cpu_time_between_s, refreshed
from llem_energy._host.host_load import HostLoad, WindowStops, load_between, stops_between
from llem_energy._host.host_reading import HostReading, read_host
from llem_energy._host.pauses import PauseWatch
from llem_energy._host.run_thread import read_thread
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.settling import SETTLE_S, Moved, Settled, Steady

GUARD_PERIODS = 3.2  # two whole intervals between updates, wherever the edge lies in an interval
_UNKNOWN_PERIOD_S = 0.1  # the most common period, if calibration saw none
_MAX_GUARD_S = 2.0
_MIN_SETTLE_TIMEOUT_S = 2.0
_UPDATES_AFTER = 3


class MeasuredSpan(msgspec.Struct, frozen=True):
    """A measured window, on the clock of the samples."""

    start_s: float
    end_s: float
    cpu_time_s: float
    """Of all processes that do the work."""
    n_repeats: int
    guard_s: float
    """The shorter of the idle times before and after."""
    load: HostLoad | None = None
    """Other load on the machine, from before the idle time to after it."""
    stops: WindowStops | None = None
    after_s: float = 0.0
    """The idle time after the end; 0 if it is not known."""


class Windows:
    """Measures windows one after another with the same sampler."""

    def __init__(
        self,
        sampler: Sampler,
        synchronise: Callable[[], None],
        calibration: Sequence[Calibration],
        devices: Sequence[str],
        family: Family | None = None,
    ) -> None:
        """Prepare.

        Args:
            sampler: already running.
            synchronise: returns when the device has finished all submitted work.
            calibration: of the metered devices, if known.
            devices: the metered devices; without any there are no guards.
            family: the processes that do the work; None for this one and its descendants.
        """
        periods = [c.counter_period_s or _UNKNOWN_PERIOD_S for c in calibration]
        self._period_s = max(periods, default=_UNKNOWN_PERIOD_S)
        self._sampler = sampler
        self._synchronise = synchronise
        self._devices = devices
        self._family = Family() if family is None else family
        self._idle_w: dict[str, float] = {}

    def measure(self, work: Callable[[], None], min_seconds: float) -> MeasuredSpan:
        """Repeat the work until the minimum duration is reached; once if it is 0."""
        self._synchronise()
        quiet_since_s = time.perf_counter()
        host_before = read_host(self._family)
        self._approach()
        n_repeats = 0
        cpu_before, thread_before = refreshed(host_before.family), read_thread()
        with PauseWatch() as watch:
            # The readings next to the ends are outside the window, so that they are not measured.
            self._sampler.read()
            start_s = time.perf_counter()
            while True:
                work()
                n_repeats += 1
                self._synchronise()
                if time.perf_counter() - start_s >= min_seconds:
                    break
            end_s = time.perf_counter()
            self._sampler.read()
            cpu_after, thread_after = refreshed(cpu_before), read_thread()
        self.settle()
        after_s = time.perf_counter() - end_s
        guard_s = min(start_s - quiet_since_s, after_s)
        host_after = read_host(self._family)
        return MeasuredSpan(
            start_s,
            end_s,
            _cpu_time_s(cpu_before, cpu_after, host_before, host_after),
            n_repeats,
            guard_s if self._devices else 0.0,
            load_between(host_before, host_after),
            stops_between(thread_before, thread_after, watch.stopped_s),
            after_s if self._devices else 0.0,
        )

    def _approach(self) -> None:
        guard_s = min(GUARD_PERIODS * self._period_s, _MAX_GUARD_S)
        # Only a GPU is idle while its host waits; a processor is busy reading its own counter.
        watched = self._devices if self._sampler.meters_gpus else ()
        steady = Steady(watched, guard_s)
        self._sampler.read_until(steady, max(guard_s, SETTLE_S if watched else 0.0))
        powers = {device: steady.power.watts(device) for device in watched}
        self._idle_w = {device: watts for device, watts in powers.items() if watts is not None}
        moved = Moved(self._devices[:1], 1)
        self._sampler.read_until(moved, 1.5 * self._period_s)

    def settle(self) -> None:
        """Read until every counter shows the energy used up to now, or does not move in time."""
        settled = Settled(_UPDATES_AFTER, self._devices, self._idle_w)
        timeout_s = max(_MIN_SETTLE_TIMEOUT_S, (_UPDATES_AFTER + 1.5) * self._period_s)
        self._sampler.read_until(settled, max(timeout_s, SETTLE_S) if self._idle_w else timeout_s)


def _cpu_time_s(
    start: FamilyReading, end: FamilyReading, host_before: HostReading, host_after: HostReading
) -> float:
    """Return the CPU time in a window.

    Args:
        start: of the processes that existed before the window, at its start.
        end: of the same processes, at its end.
        host_before: before the idle time at the start.
        host_after: after the idle time at the end, with the processes that are new.
    """
    members = {
        key: process._replace(own_s=end.members[key].own_s) if key in end.members else process
        for key, process in host_after.family.members.items()
    }
    last = host_after.family._replace(members=members)
    return cpu_time_between_s(start, last, host_before.since_boot_s)
