"""The child process of a run and everything that it has started: which are alive, and killing them.

A process belongs to the run if it is in the child's group or session, or if its environment has
the run's tag, which processes inherit even if they have left both. Linux only; elsewhere nothing
is found, and killing the group has to suffice.

This reads /proc itself. psutil knows neither groups nor sessions, and its start times follow the
system clock: if that is set back during a run, tagged processes look older than the run and are
missed. A search with psutil also takes 1.5 times the processor time (13.4 instead of 9.0 ms for 330
processes, `benchmarks/runner_process_tree.py`), and one follows every run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from llem_config.settings import ENV_RUN_TAG

_PROC = Path("/proc")
_RETRY_S = 0.002
_DEAD_STATES = frozenset("ZX")  # a zombie holds nothing, and its parent may never collect it
# Fields of proc_pid_stat(5), counted from the one after the name of the process.
_GROUP, _SESSION, _USER_TICKS, _SYSTEM_TICKS, _STARTED = 2, 3, 11, 12, 19


class ProcessTree:
    """The processes of one run."""

    def __init__(self, root_pid: int, tag: str) -> None:
        """Describe the processes of a run.

        Args:
            root_pid: the child process, which leads a group and a session of its own.
            tag: value of `ENV_RUN_TAG` in the environment of what it starts.
        """
        self.root_pid = root_pid
        self._tag = f"{ENV_RUN_TAG}={tag}".encode()
        # Processes that are older do not belong to the run: few environments have to be read.
        fields = _stat(root_pid)
        self._started_ticks = int(fields[_STARTED]) if fields else 0

    def members(self) -> tuple[int, ...]:
        """Return the processes that are alive, in no order."""
        return tuple(pid for pid, fields in _alive() if self._includes(pid, fields))

    def processor_ticks(self) -> int:
        """Return the processor time of all members; of the child process, its main thread only.

        Its other threads may be our sampler, which runs whether the measurement hangs or not.
        """
        ticks = 0
        for pid, fields in _alive():
            if not self._includes(pid, fields):
                continue
            counted = _stat(pid, thread=pid) if pid == self.root_pid else fields
            ticks += int(counted[_USER_TICKS]) + int(counted[_SYSTEM_TICKS]) if counted else 0
        return ticks

    def kill(self, timeout_s: float) -> tuple[int, ...]:
        """Kill all members, and return those that are still alive after the timeout; normally ().

        The kernel keeps a killed process that waits for a device or a file server.
        """
        deadline_s = time.perf_counter() + timeout_s
        while alive := self.members():
            for pid in alive:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.perf_counter() >= deadline_s:
                return alive
            time.sleep(_RETRY_S)
        return ()

    def _includes(self, pid: int, fields: list[str]) -> bool:
        if int(fields[_GROUP]) == self.root_pid or int(fields[_SESSION]) == self.root_pid:
            return True
        return int(fields[_STARTED]) >= self._started_ticks and self._tag in _environment(pid)


def _alive() -> Iterator[tuple[int, list[str]]]:
    try:
        names = os.listdir(_PROC)  # noqa: PTH208  # called after every run; twice as fast
    except OSError:
        return
    for name in names:
        if name.isdigit() and (fields := _stat(int(name))) and fields[0] not in _DEAD_STATES:
            yield int(name), fields


def _stat(pid: int, *, thread: int | None = None) -> list[str]:
    """Return the fields after the name of a process or thread, [] if it is gone."""
    folder = f"{_PROC}/{pid}" if thread is None else f"{_PROC}/{pid}/task/{thread}"
    try:
        # The name is in brackets, and may contain brackets.
        return Path(f"{folder}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"{_PROC}/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return []


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in _DEAD_STATES
