"""Why a child process ended without a result, as far as the kernel reports it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Literal

import msgspec

from llem_runner._errors import StudyError
from llem_runner._outcome import Failed, Reason

_ROOT = Path("/")

ExitCode = int | Literal["unknown"] | None
"""As `subprocess` gives it, negative for a signal. "unknown": the kernel has discarded it, or another
part of the calling program has collected the process. None: the process has not ended."""


class OomCounts(msgspec.Struct, frozen=True):
    """How many processes the kernel has killed because memory ran out; None if it is not reported."""

    group: int | None
    """In the control group of this process, which its children share."""
    machine: int | None

    @classmethod
    def read(cls, root: Path = _ROOT) -> OomCounts:
        """Return the present counts.

        Source: cgroup v2 `memory.events`, cgroup v1 `memory.oom_control`, `/proc/vmstat`.
        """
        return cls(_group_count(root), _counter(root / "proc/vmstat"))


def _group_count(root: Path) -> int | None:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    mount = root / "sys/fs/cgroup"
    for line in lines:
        number, controllers, path = line.split(":", 2)
        # In a container the path may be the host's, while the group itself is mounted.
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
    counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
    return counts[0] if counts else None


def explain_death(
    exit_code: ExitCode, oom_before: OomCounts, *, is_ready: bool, log_tail: str
) -> Failed:
    """Return the failure of a run whose process has ended without a result.

    Args:
        exit_code: of the process.
        oom_before: counts from before the process began.
        is_ready: it has finished its imports.
        log_tail: the last lines of its log.

    Raises:
        StudyError: it ended by itself before it was ready, and so would that of every other run.
            One that was killed is a failed run like any other.
    """
    reason, verb_phrase = explain_exit(exit_code, oom_before, OomCounts.read())
    last = ""
    if log_tail:
        last = f"; last lines of its log: {' | '.join(log_tail.splitlines()[-3:])[-400:]}"
    if not is_ready and reason == "exit":
        raise StudyError(
            f"the process of a run {verb_phrase} before it could begin, as that of every other run "
            f"would{last}"
        )
    text = f"the run's process {verb_phrase} without a result{last}"
    return Failed("ProcessDied", text, reason=reason, log_tail=log_tail)


def explain_exit(exit_code: ExitCode, before: OomCounts, after: OomCounts) -> tuple[Reason, str]:
    """Return why a process ended, and the same as a verb phrase.

    Args:
        exit_code: of the process.
        before: counts from before it began.
        after: present counts.
    """
    if exit_code is None:
        return "pipe", "closed its pipe and kept running"
    if exit_code == "unknown":
        return "exit_unknown", (
            "ended, by itself or by a signal; its exit code is unknown, because this program ignores "
            "SIGCHLD or collects processes that it did not start. Restore the default with "
            "`signal.signal(signal.SIGCHLD, signal.SIG_DFL)`"
        )
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
            "was killed by SIGKILL, probably by the kernel's out-of-memory killer: its count for "
            f"this machine rose from {before.machine} to {after.machine}"
        )
    if after.group is None and after.machine is None:
        return "signal", (
            "was killed by SIGKILL (possibly out of memory: this machine does not report OOM kills)"
        )
    return "signal", (
        "was killed by SIGKILL from outside llem; no OOM kill was recorded. A user, or a limit of "
        "the batch system?"
    )


def _rose(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
