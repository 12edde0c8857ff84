"""The processes of this machine, as the kernel reports them in /proc.

Fields and units are those of proc_pid_stat(5).
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple

# Fields of `stat`, counted from the one after the name of the process.
_PARENT, _SESSION, _STARTED = 1, 3, 19
_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 11, 12, 13, 14
_CPU_CLOCK = 2  # the last bits of the id of a process's CPU clock, see clock_getcpuclockid(3)


class Process(NamedTuple):
    """One process; a zombie is one too, until its parent collects it."""

    pid: int
    parent_pid: int
    session: int
    started_s: float
    """Since the boot, with the machine's suspended time."""
    own_s: float
    """CPU time of its threads."""
    children_s: float
    """CPU time of the children that it has collected, and of those that they have collected."""


def proc() -> Path:
    """Return the folder of the kernel's process information; `LLEM_PROC` names another one."""
    return Path(os.environ.get("LLEM_PROC", "/proc"))


def tick_s() -> float:
    """Return the resolution of the kernel's CPU times in seconds."""
    return 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


def find_processes() -> dict[int, Process]:
    """Return every visible process by its id; {} on a system without /proc.

    It takes about 20 us for each process, so it is never called inside a window.
    """
    folder, tick = proc(), tick_s()
    try:
        names = os.listdir(folder)  # noqa: PTH208  # twice as fast
    except OSError:
        return {}
    found = (_process(folder, name, tick) for name in names if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def _process(folder: Path, name: str, tick: float) -> Process | None:
    try:
        text = Path(f"{folder}/{name}/stat").read_text(errors="replace")
    except OSError:  # it has ended
        return None
    # The name is in brackets, and may contain brackets.
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _STARTED:
        return None
    return Process(
        pid=int(name),
        parent_pid=int(fields[_PARENT]),
        session=int(fields[_SESSION]),
        started_s=int(fields[_STARTED]) * tick,
        own_s=(int(fields[_USER]) + int(fields[_SYSTEM])) * tick,
        children_s=(int(fields[_CHILDREN_USER]) + int(fields[_CHILDREN_SYSTEM])) * tick,
    )


def cpu_time_s(pid: int) -> float | None:
    """Return the CPU time of a process in seconds, to the microsecond; None if it has ended."""
    if pid == os.getpid():
        return time.process_time()
    with contextlib.suppress(OSError, OverflowError, AttributeError):
        return time.clock_gettime((~pid << 3) | _CPU_CLOCK)
    return None


def environment_of(pid: int) -> list[bytes]:
    """Return the variables with which a process was started, as `NAME=value`."""
    try:
        return (proc() / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or belongs to another user
        return []
