"""A worker and everything that it has started: who of them is there, and that nobody stays.

A process of the family is of the worker's group or session, or carries its mark: a variable of
the environment, which what the run starts inherits even if it has left both. Linux only; anywhere
else nobody is found, and killing the group has to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MARK = "LLEM_RUN_MARK"
_PROC = Path("/proc")
_LOOK_AGAIN_S = 0.002
_DEAD = frozenset("ZX")  # a zombie holds nothing; whoever should collect it may never come
_GROUP, _SESSION, _USER_TICKS, _SYSTEM_TICKS, _BORN = 2, 3, 11, 12, 19  # proc_pid_stat(5), less 3


class Family:
    """The processes of one worker."""

    def __init__(self, leader: int, mark: str) -> None:
        """Name a family.

        Args:
            leader: the worker, which leads a group and a session of its own.
            mark: value of `MARK` in the environment of what it starts.
        """
        self.leader = leader
        self._mark = f"{MARK}={mark}".encode()
        # Nobody older can be of the family, so that only few environments have to be read.
        fields = _stat(leader)
        self._born = int(fields[_BORN]) if fields else 0

    def members(self) -> tuple[int, ...]:
        """Return the living ones, in no order."""
        return tuple(pid for pid, fields in _alive() if self._has(pid, fields))

    def processor_ticks(self) -> int:
        """Return the time that work has taken: of the leader its main thread alone.

        Its other threads may be a sampler of ours, which goes on whatever becomes of the work.
        """
        ticks = 0
        for pid, fields in _alive():
            if not self._has(pid, fields):
                continue
            own = _stat(pid, thread=pid) if pid == self.leader else fields
            ticks += int(own[_USER_TICKS]) + int(own[_SYSTEM_TICKS]) if own else 0
        return ticks

    def end(self, at_most_s: float) -> tuple[int, ...]:
        """Kill whoever is left, and return who still is after so many seconds: () is as it should.

        Only the kernel keeps a killed process: one that waits for a device or a file server.
        """
        deadline_s = time.perf_counter() + at_most_s
        while left := self.members():
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.perf_counter() >= deadline_s:
                return left
            time.sleep(_LOOK_AGAIN_S)
        return ()

    def _has(self, pid: int, fields: list[str]) -> bool:
        if int(fields[_GROUP]) == self.leader or int(fields[_SESSION]) == self.leader:
            return True
        return int(fields[_BORN]) >= self._born and self._mark in _environment(pid)


def _alive() -> Iterator[tuple[int, list[str]]]:
    try:
        names = os.listdir(_PROC)  # noqa: PTH208  # called after every run, and this is the quick way
    except OSError:
        return
    for name in names:
        if name.isdigit() and (fields := _stat(int(name))) and fields[0] not in _DEAD:
            yield int(name), fields


def _stat(pid: int, *, thread: int | None = None) -> list[str]:
    """Return the fields after the name of a process, [] if it is gone."""
    folder = f"{_PROC}/{pid}" if thread is None else f"{_PROC}/{pid}/task/{thread}"
    try:
        # The name stands in brackets and may hold anything, brackets too.
        return Path(f"{folder}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"{_PROC}/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return []


def is_alive(pid: int) -> bool:
    """Tell whether a process is there; a zombie is not."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in _DEAD
