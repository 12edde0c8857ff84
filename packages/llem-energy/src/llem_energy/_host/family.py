"""The processes that do the work of a measurement, and the CPU time that they use together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from llem_config.settings import ENV_RUN_TAG
from llem_energy._host.processes import (
    Process,
    cpu_time_s,
    environment_of,
    find_processes,
    tick_s,
)

_Key = tuple[int, float]  # id and start: the kernel uses an id again


class FamilyReading(NamedTuple):
    """The CPU time of every process of a family at one instant."""

    members: dict[_Key, Process]
    parent_s: float
    """CPU time of the process that started this one; 0 if that does not belong to the study."""


class Family:
    """The processes of one measurement.

    A process belongs to it if it is this process or a descendant, is in the session that this
    process leads, has the tag of the run in its environment, is named by the backend, or descends
    from one of these. It belongs to it until it ends, even if its parent has ended before.
    """

    def __init__(self, named: Callable[[], Iterable[int]] = tuple) -> None:
        """Describe the processes of this measurement.

        Args:
            named: returns the ids of further processes that work for it.
        """
        self._named = named
        self._known: set[_Key] = set()
        self._tag = os.environ.get(ENV_RUN_TAG)

    def members(self, processes: Mapping[int, Process] | None = None) -> dict[int, Process]:
        """Return the members that exist, by id; without /proc only this process is known.

        Args:
            processes: all processes; None finds them.
        """
        everything = find_processes() if processes is None else processes
        if os.getpid() not in everything:
            everything = {**everything, os.getpid(): _this_process()}
        members = {pid: everything[pid] for pid in self._roots(everything)}
        children: dict[int, list[Process]] = {}
        for process in everything.values():
            children.setdefault(process.parent_pid, []).append(process)
        examined = list(members)
        while examined:
            for child in children.get(examined.pop(), ()):
                if child.pid not in members:
                    members[child.pid] = child
                    examined.append(child.pid)
        self._known |= {_key(process) for process in members.values()}
        return members

    def pids(self) -> frozenset[int]:
        """Return the ids of all members, this process included."""
        return frozenset({os.getpid(), *self._named(), *self.members()})

    def read(self, processes: Mapping[int, Process] | None = None) -> FamilyReading:
        """Return the CPU times of all members now."""
        everything = find_processes() if processes is None else processes
        members = {_key(p): _exact(p) for p in self.members(everything).values()}
        # The process that executes the study only shows its progress. Outside a study the parent
        # is a shell or a program of the user, whose work is other load.
        parent = everything.get(os.getppid()) if self._tag is not None else None
        return FamilyReading(members, parent.own_s if parent else 0.0)

    def _roots(self, processes: Mapping[int, Process]) -> set[int]:
        own_pid = os.getpid()
        own = processes[own_pid]
        roots = {own_pid, *self._named()}
        roots |= {p.pid for p in processes.values() if _key(p) in self._known}
        if own.session == own_pid:
            roots |= {p.pid for p in processes.values() if p.session == own_pid}
        if self._tag is not None:
            tag = f"{ENV_RUN_TAG}={self._tag}".encode()
            young = (p for p in processes.values() if p.started_s >= own.started_s)
            roots |= {p.pid for p in young if p.pid not in roots and tag in environment_of(p.pid)}
        return {pid for pid in roots if pid in processes}


def refreshed(reading: FamilyReading) -> FamilyReading:
    """Return a reading with the CPU times of now, of the same processes; takes microseconds."""
    members = {key: _exact(process) for key, process in reading.members.items()}
    return reading._replace(members=members)


def cpu_time_between_s(before: FamilyReading, after: FamilyReading, started_s: float) -> float:
    """Return the CPU time in seconds that a family used between two readings.

    The time of a process that has ended is in the account of the process that collected it. It is
    lost if that process is outside the family, and its part since `before` is then not counted.

    Args:
        before: the first reading.
        after: the second reading.
        started_s: time of `before` since the boot. An older process that is only in `after`
            joined the family late; its earlier CPU time does not count.
    """
    earlier = [p for key, p in before.members.items() if key in after.members or _kept(p, before)]
    newcomers = {key for key in after.members if key not in before.members}
    late = {key for key in newcomers if after.members[key].started_s < started_s - tick_s()}
    later = [p for key, p in after.members.items() if key not in late]
    total_s = sum(map(_all_s, later)) - sum(map(_all_s, earlier))
    survivors = [
        (before.members[key], p) for key, p in after.members.items() if key not in newcomers
    ]
    return max(total_s, sum(max(0.0, p.own_s - old.own_s) for old, p in survivors))


def _kept(process: Process, reading: FamilyReading) -> bool:
    """Return whether the CPU time of a process that ended is in the account of this process."""
    by_pid = {member.pid: member for member in reading.members.values()}
    while (parent := by_pid.get(process.parent_pid)) is not None:
        process = parent
    return process.pid == os.getpid()


def _this_process() -> Process:
    children_s = sum(os.times()[2:4])
    return Process(os.getpid(), os.getppid(), 0, 0.0, time.process_time(), children_s)


def _all_s(process: Process) -> float:
    return process.own_s + process.children_s


def _key(process: Process) -> _Key:
    return process.pid, process.started_s


def _exact(process: Process) -> Process:
    exact_s = cpu_time_s(process.pid)
    return process if exact_s is None else process._replace(own_s=max(exact_s, process.own_s))
