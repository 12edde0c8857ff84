"""Why a worker ended without a result, told apart as far as the kernel tells; and its last words."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec

from llem_runner._outcome import Reason

_ROOT = Path("/")


class OomCounts(msgspec.Struct, frozen=True):
    """How many processes the kernel has killed for want of memory; None where it does not say."""

    group: int | None
    """In the control group of this process, which its children share."""
    machine: int | None

    @classmethod
    def read(cls, root: Path = _ROOT) -> OomCounts:
        """Return the counts of now.

        Source: cgroup v2 `memory.events`, cgroup v1 `memory.oom_control`, `/proc/vmstat`.
        """
        return cls(_of_group(root), _counter(root / "proc/vmstat"))


def _of_group(root: Path) -> int | None:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    mount = root / "sys/fs/cgroup"
    for line in lines:
        number, controllers, path = line.split(":", 2)
        # In a container the path may be the host's, while what is mounted is the group itself.
        if number == "0":
            folders = [mount / path.lstrip("/"), mount, mount / "unified" / path.lstrip("/")]
            files = [folder / "memory.events" for folder in folders]
        elif "memory" in controllers.split(","):
            folders = [mount / "memory" / path.lstrip("/"), mount / "memory"]
            files = [folder / "memory.oom_control" for folder in folders]
        else:
            continue
        for file in files:
            if (count := _counter(file)) is not None:
                return count
    return None


def _counter(file: Path) -> int | None:
    """Return the number beside `oom_kill` in a file of names and numbers."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("oom_kill ")]
    return int(found[0][1]) if found else None


def how_it_ended(exit_code: int | None, before: OomCounts, after: OomCounts) -> tuple[Reason, str]:
    """Return why a process ended, and the same as the end of a sentence.

    Args:
        exit_code: as `multiprocessing` gives it, negative for a signal; None: it has not ended.
        before: counts from when it began.
        after: counts of now.
    """
    if exit_code is None:
        return "pipe", "closed its pipe and went on"
    if exit_code >= 0:
        return "exit", f"ended with exit code {exit_code}"
    if exit_code != -signal.SIGKILL:
        return "signal", f"was killed by {_name(-exit_code)}"
    if _rose(before.group, after.group):
        return "oom_killer", (
            "was killed by SIGKILL: the kernel's out-of-memory killer, whose count for this "
            f"control group rose from {before.group} to {after.group}"
        )
    if _rose(before.machine, after.machine):
        return "oom_killer", (
            "was killed by SIGKILL, most likely by the kernel's out-of-memory killer: its count "
            f"for this machine rose from {before.machine} to {after.machine}"
        )
    if after.group is None and after.machine is None:
        return "signal", (
            "was killed by SIGKILL; whether by the kernel for want of memory, this machine does "
            "not tell"
        )
    return "signal", (
        "was killed by SIGKILL, not by llem, and the kernel counts no out-of-memory kill: by "
        "somebody, or by a batch system at a limit"
    )


def _rose(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
