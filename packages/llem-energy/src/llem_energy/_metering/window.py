"""One measured window: a guard of idle time, the repeated work, another guard.

The guards make the ends of the window exact; see `edges`. Around them the load of the host is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from llem_energy._host.family import Family, FamilyReading, cpu_time_between_s, refreshed
from llem_energy._host.host_load import HostLoad, WindowStops, load_between, stops_between
from llem_energy._host.host_reading import HostReading, read_host
from llem_energy._host.pauses import PauseWatch
from llem_energy._host.run_thread import ThreadReading, read_thread
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.edges import GUARD_PERIODS, Edges, QuietEdge
from llem_energy._metering.sampler import Sampler

__all__ = ["GUARD_PERIODS", "MeasuredSpan", "OpenWindow", "Windows"]


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


class OpenWindow(NamedTuple):
    """A window that is open, with what was read before it."""

    quiet: QuietEdge
    start_s: float
    host_before: HostReading
    cpu_before: FamilyReading
    thread_before: ThreadReading
    watch: PauseWatch


class Windows:
    """Measures windows one after another with the same sampler."""

    def __init__(
        self,
        sampler: Sampler,
        synchronise: Callable[[], None],
        calibration: Sequence[Calibration],
        devices: Sequence[str],
        family: Family | None = None,
        idle_w: Mapping[str, float] | None = None,
    ) -> None:
        """Prepare.

        Args:
            sampler: already running.
            synchronise: returns when the device has finished all submitted work.
            calibration: of the metered devices, if known.
            devices: the metered devices; without any there are no guards.
            family: the processes that do the work; None for this one and its descendants.
            idle_w: idle power of each device by its counter, if it was measured.
        """
        self._sampler = sampler
        self._edges = Edges(sampler, calibration, devices, idle_w)
        self._synchronise = synchronise
        self._devices = devices
        self._family = Family() if family is None else family
        self._idle_w: Mapping[str, float] = {}

    def measure(self, work: Callable[[], None], min_seconds: float) -> MeasuredSpan:
        """Repeat the work until the minimum duration is reached; once if it is 0."""
        opened = self.open()
        n_repeats = 0
        try:
            while True:
                work()
                n_repeats += 1
                self._synchronise()
                if time.perf_counter() - opened.start_s >= min_seconds:
                    break
        except BaseException:
            opened.watch.__exit__(None, None, None)
            raise
        return self.close(opened, n_repeats)

    def open(self) -> OpenWindow:
        """Idle, and open a window, which must be closed."""
        self._synchronise()
        since_s = time.perf_counter()
        host_before = read_host(self._family)
        quiet = self._edges.approach(since_s)
        cpu_before, thread_before = refreshed(host_before.family), read_thread()
        watch = PauseWatch()
        watch.__enter__()
        # The readings next to the ends are outside the window, so that they are not measured.
        self._sampler.read()
        start_s = time.perf_counter()
        return OpenWindow(quiet, start_s, host_before, cpu_before, thread_before, watch)

    def close(self, opened: OpenWindow, n_repeats: int) -> MeasuredSpan:
        """Close a window in which the device has finished all work, and idle.

        Args:
            opened: the window.
            n_repeats: of the work in it.
        """
        end_s = time.perf_counter()
        self._sampler.read()
        cpu_after, thread_after = refreshed(opened.cpu_before), read_thread()
        opened.watch.__exit__(None, None, None)
        self._idle_w = opened.quiet.idle_w
        span = self._edges.leave(opened.quiet, opened.start_s, end_s)
        host_after = read_host(self._family)
        return MeasuredSpan(
            opened.start_s,
            end_s,
            _cpu_time_s(opened.cpu_before, cpu_after, opened.host_before, host_after),
            n_repeats,
            span.guard_s if self._devices else 0.0,
            load_between(opened.host_before, host_after),
            stops_between(opened.thread_before, thread_after, opened.watch.stopped_s),
            span.after_s if self._devices else 0.0,
        )

    def settle(self) -> None:
        """Read until every counter shows the energy used up to now, or does not move in time."""
        self._edges.settle(self._idle_w)


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
