"""The process of an attempt at a shard: which machine it runs on, and whether it still runs."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec


class AttemptProcess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A process of some machine. A number alone can belong to another process, or another host."""

    host: str
    boot_id: str | None
    """Of the system that it runs on; None if the system does not tell."""
    pid_namespace: str | None
    """In which `pid` counts: a container has its own."""
    pid: int
    started_ticks: int | None
    """When it started, in ticks since the system did."""

    @classmethod
    def this(cls) -> AttemptProcess:
        """Return the calling process."""
        return cls(
            host=platform.node(),
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
            pid=os.getpid(),
            started_ticks=_started_ticks(os.getpid()),
        )

    def is_alive(self) -> bool | None:
        """Return whether it still runs; None if it cannot be told from here."""
        here = (_boot_id(), _pid_namespace())
        if None in here or here != (self.boot_id, self.pid_namespace):
            return None
        started = _started_ticks(self.pid)
        return started is not None and started == self.started_ticks


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return None


def _pid_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _started_ticks(pid: int) -> int | None:
    """Return when a process started; None if there is none. Source: proc(5), `stat`, field 22."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
