"""The process of an attempt at a shard: which machine it runs on, and whether it still runs."""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
from pathlib import Path

import msgspec

_MACHINE_ID = Path("/etc/machine-id")
_FIRST_NAMESPACE = "pid:[4026531836]"
"""Of the processes outside of containers. Source: include/linux/proc_ns.h, `PROC_PID_INIT_INO`."""
_SHARED_NAMES = ("localhost", "localhost.localdomain")
"""Names that several machines have."""


class AttemptProcess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A process of some machine. A number alone can belong to another process, or another host."""

    host: str
    machine_id: str | None = None
    """Of the installed system, which keeps it when it boots, for llem only; None if it has none, and in
    older files."""
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
            machine_id=_machine_id(),
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
            pid=os.getpid(),
            started_ticks=_started_ticks(os.getpid()),
        )

    def is_alive(self) -> bool | None:
        """Return whether it still runs; None if it cannot be told from here."""
        boot_id, namespace = _boot_id(), _pid_namespace()
        if boot_id is None or self.boot_id is None:
            return None
        if boot_id != self.boot_id:
            return False if self._is_of_this_machine else None
        if namespace is None or namespace != self.pid_namespace:
            return None
        started = _started_ticks(self.pid)
        return started is not None and started == self.started_ticks

    @property
    def _is_of_this_machine(self) -> bool:
        """Return whether it ran on this machine, maybe before the machine was booted again.

        Containers of one image can have the same name and number on several machines.
        """
        return (
            self.pid_namespace == _FIRST_NAMESPACE
            and self.machine_id is not None
            and self.machine_id == _machine_id()
            and self.host == platform.node()
            and self.host not in _SHARED_NAMES
        )


def _machine_id() -> str | None:
    """Return a number that the installed system has for llem; None if it has none.

    The system's own number is confidential, so it is not stored. Source: machine-id(5).
    """
    number = _line_of(_MACHINE_ID)
    if number is None:
        return None
    return hmac.new(number.encode(), b"llem", hashlib.sha256).hexdigest()[:32]


def _boot_id() -> str | None:
    """Return the number of this boot; None if the system has none. Source: random(4)."""
    return _line_of(Path("/proc/sys/kernel/random/boot_id"))


def _line_of(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip() or None
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
