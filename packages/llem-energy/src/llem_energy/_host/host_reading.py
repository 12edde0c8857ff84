"""The counters of the operating system that show other load, at one instant.

Sources: proc_stat(5), proc_vmstat(5), and "Pressure Stall Information" in the documentation of
Linux. A counter that is not reported is None.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from llem_energy._host.control_groups import CpuLimit, cpu_limit
from llem_energy._host.family import Family, FamilyReading
from llem_energy._host.processes import find_processes, proc, tick_s

# Columns of a line of /proc/stat. The time of guests is part of the user time.
_USER, _NICE, _SYSTEM, _INTERRUPT, _SOFT_INTERRUPT, _STOLEN = 0, 1, 2, 5, 6, 7
_BUSY = (_USER, _NICE, _SYSTEM, _INTERRUPT, _SOFT_INTERRUPT)
_MICRO = 1e-6


class CpuTimes(NamedTuple):
    """CPU time in seconds since the boot, summed over some CPUs."""

    busy_s: float
    stolen_s: float
    """A virtual CPU was ready to run, but the hypervisor ran something else."""


class HostReading(NamedTuple):
    """What the operating system has counted so far."""

    t_s: float
    """On the clock of `time.perf_counter`."""
    since_boot_s: float
    family: FamilyReading
    every_cpu: CpuTimes | None
    usable_cpus: CpuTimes | None
    """Of the CPUs on which this process may run."""
    waited_s: float | None
    """Time in which at least one thread of the machine waited for a CPU, our own included."""
    limit: CpuLimit | None
    swapped_in_bytes: int | None


def n_usable_cpus() -> int:
    """Return the number of CPUs on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_host(family: Family) -> HostReading:
    """Read everything; takes about 20 us for each process of the machine.

    Args:
        family: the processes that are not other load.
    """
    folder = proc()
    times = _cpu_times(folder / "stat")
    processes = find_processes()
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    return HostReading(
        t_s=time.perf_counter(),
        since_boot_s=since_boot_s(),
        family=family.read(processes),
        every_cpu=_sum(times),
        usable_cpus=_sum(
            {cpu: each for cpu, each in times.items() if usable is None or cpu in usable}
        ),
        waited_s=_waited_s(folder / "pressure" / "cpu"),
        limit=cpu_limit(folder / "self"),
        swapped_in_bytes=_swapped_in_bytes(folder / "vmstat"),
    )


def since_boot_s() -> float:
    """Return the seconds since the boot, with the time in which the machine was suspended."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _cpu_times(file: Path) -> dict[int, CpuTimes]:
    times: dict[int, CpuTimes] = {}
    for line in _lines(file):
        name, *columns = line.split()
        number = name.removeprefix("cpu")
        if name.startswith("cpu") and number.isdigit() and len(columns) > _STOLEN:
            busy = sum(int(columns[column]) for column in _BUSY)
            times[int(number)] = CpuTimes(busy * tick_s(), int(columns[_STOLEN]) * tick_s())
    return times


def _sum(times: Mapping[int, CpuTimes]) -> CpuTimes | None:
    if not times:
        return None
    return CpuTimes(
        sum(each.busy_s for each in times.values()), sum(each.stolen_s for each in times.values())
    )


def _waited_s(file: Path) -> float | None:
    for line in _lines(file):
        kind, *fields = line.split()
        for field in fields:
            name, _, value = field.partition("=")
            if kind == "some" and name == "total" and value.isdigit():
                return int(value) * _MICRO
    return None


def _swapped_in_bytes(file: Path) -> int | None:
    for line in _lines(file):
        name, _, value = line.partition(" ")
        if name == "pswpin" and value.isdigit():
            return int(value) * os.sysconf("SC_PAGE_SIZE")
    return None
