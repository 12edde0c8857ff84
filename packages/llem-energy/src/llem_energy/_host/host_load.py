"""What disturbed a span of time on this machine: other load, stops, limits."""

from __future__ import annotations

import msgspec

from llem_energy._host.family import cpu_time_between_s
from llem_energy._host.host_reading import CpuTimes, HostReading, n_usable_cpus
from llem_energy._host.processes import tick_s
from llem_energy._host.run_thread import ThreadReading


class HostLoad(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine beside a measurement over a span of time; None: not reported."""

    duration_s: float
    """Of the span; for a window, with the idle time at its ends."""
    n_cpus: int
    """CPUs that the run may use."""
    family_cpu_s: float
    """CPU time of the run and of all processes that work for it."""
    other_cores: float | None
    """CPUs that all other processes kept busy on average, on the whole machine."""
    other_usable_cores: float | None
    """The same, counted only on the CPUs that the run may use."""
    resolution_cores: float
    """The two numbers above can be wrong by this much, because CPU time is counted in ticks."""
    stolen_s: float | None
    """CPU time that the hypervisor withheld from the CPUs that the run may use."""
    cpu_pressure_s: float | None
    """Time in which at least one thread of the machine waited for a CPU, those of the run too."""
    cpu_limit_s: float | None
    """CPU time for which the limit of the control group stopped the run."""
    n_cpu_limit_stops: int | None
    """Number of times that this limit stopped the run."""
    swapped_in_bytes: int | None
    """Read from swap space, by any process."""


class WindowStops(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times of a window in which the run could not work; None: not reported."""

    thread_waited_s: float | None
    """Time in which the thread that starts the work waited for a CPU."""
    stopped_s: float
    """Time in which the process was stopped, or the machine that it runs on."""
    suspended_s: float
    """Time in which the machine was suspended; the window's own clock did not run then."""
    n_preemptions: int | None
    """Involuntary context switches of the process."""
    n_yields: int | None
    """Voluntary context switches of the process."""
    n_page_loads: int | None
    """Pages of the process that were read from the disk."""


def load_between(before: HostReading, after: HostReading) -> HostLoad:
    """Return the load of the machine between two readings."""
    duration_s = max(after.t_s - before.t_s, 1e-9)
    family_s = cpu_time_between_s(before.family, after.family, before.since_boot_s)
    ours_s = family_s + max(0.0, after.family.parent_s - before.family.parent_s)
    n_cpus = n_usable_cpus()
    stolen_s = None
    if before.usable_cpus and after.usable_cpus:
        stolen_s = max(0.0, after.usable_cpus.stolen_s - before.usable_cpus.stolen_s)
    limit_s = n_stops = None
    if before.limit and after.limit:
        limit_s = max(0.0, after.limit.stopped_s - before.limit.stopped_s)
        n_stops = max(0, after.limit.n_stops - before.limit.n_stops)
    swapped_in = None
    if before.swapped_in_bytes is not None and after.swapped_in_bytes is not None:
        swapped_in = max(0, after.swapped_in_bytes - before.swapped_in_bytes)
    return HostLoad(
        duration_s=duration_s,
        n_cpus=n_cpus,
        family_cpu_s=family_s,
        other_cores=_cores(before.every_cpu, after.every_cpu, ours_s, duration_s),
        other_usable_cores=_cores(before.usable_cpus, after.usable_cpus, ours_s, duration_s),
        resolution_cores=n_cpus * tick_s() / duration_s,
        stolen_s=stolen_s,
        cpu_pressure_s=_rise(before.waited_s, after.waited_s),
        cpu_limit_s=limit_s,
        n_cpu_limit_stops=n_stops,
        swapped_in_bytes=swapped_in,
    )


def stops_between(before: ThreadReading, after: ThreadReading, stopped_s: float) -> WindowStops:
    """Return the stops between two readings of the same thread.

    Args:
        before: at the beginning of the window.
        after: at its end.
        stopped_s: as `PauseWatch` counts it.
    """
    return WindowStops(
        thread_waited_s=_rise(before.waited_s, after.waited_s),
        stopped_s=stopped_s,
        # The two clocks are not read at the same instant; only milliseconds have a meaning.
        suspended_s=max(0.0, round(after.suspended_s - before.suspended_s, 3)),
        n_preemptions=_increase(before.n_preemptions, after.n_preemptions),
        n_yields=_increase(before.n_yields, after.n_yields),
        n_page_loads=_increase(before.n_page_loads, after.n_page_loads),
    )


def _cores(
    before: CpuTimes | None, after: CpuTimes | None, ours_s: float, duration_s: float
) -> float | None:
    if before is None or after is None:
        return None
    return max(0.0, after.busy_s - before.busy_s - ours_s) / duration_s


def _rise(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)


def _increase(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)
