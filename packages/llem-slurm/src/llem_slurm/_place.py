"""Where a task runs: from its environment, and one question to Slurm."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from llem_runner import StudyError
from llem_runner.clusters import Place, granted_gpus
from llem_slurm._commands import ask

MAX_RESTARTS = 20
"""A task that was started so often is not started again by us: something is wrong with it."""
_PROLOGUE_S = 600.0
"""What a site may do between the start of a job and that of its first process; if the clocks differ by more, that
of this machine is wrong, or that of the cluster."""
_MAX_ANCESTORS = 100


def place(environment: Mapping[str, str]) -> Place | None:
    """Return where this process runs; None outside of jobs.

    Raises:
        StudyError: it cannot be told which GPUs Slurm has given to it.
    """
    job = environment.get("SLURM_JOB_ID")
    if not job:
        return None
    array, index = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    # A number alone may be that of the whole array, and of the tasks that wait.
    name = f"{array}_{index}" if array and index else job
    starts, ends, is_alone = _times_and_share(name)
    # From version 23.02 on the environment has them too.
    starts = environment.get("SLURM_JOB_START_TIME") or starts
    ends = environment.get("SLURM_JOB_END_TIME") or ends
    is_step = "SLURM_STEP_ID" in environment  # which may have begun long after its job
    restarts = environment.get("SLURM_RESTART_COUNT", "")
    numbers = environment.get("SLURM_JOB_GPUS", "")  # of device files
    return Place(
        cluster="slurm",
        job=name,
        n_restarts=int(restarts) if restarts.isdecimal() else 0,
        machine=environment.get("SLURMD_NODENAME"),
        gpus=granted_gpus(numbers.split(","), environment) if numbers else None,
        ends_at=_end_here(_seconds(starts), _seconds(ends), None if is_step else job_age_s()),
        whole_machine=is_alone,
    )


def _times_and_share(job: str) -> tuple[str, str, bool]:
    """Return when a job started and when it ends, as Slurm prints it, and whether its node is its own."""
    fields = "StartTime:|,EndTime:|,OverSubscribe:"
    try:
        answer = ask("squeue", "-h", "-j", job, "-O", fields, timeout_s=20)
    except StudyError:
        return "", "", False
    parts = answer.text.split("|") if answer.is_ok else []
    starts, ends, share = parts if len(parts) == 3 else ("", "", "")
    # NO: no other job may have a part of the node.
    return starts, ends, share.strip() == "NO"


def _seconds(text: str) -> float | None:
    """Return a time of Slurm in seconds since 1970; None if it has none, as of a job without a limit."""
    return float(text) if text.strip().isdecimal() else None


def _end_here(starts_s: float | None, ends_s: float | None, age_s: float | None) -> float | None:
    """Return when a job ends by the clock of this machine, which may differ from that of the cluster.

    Args:
        starts_s: when it started, by the clock of the cluster; None: not known.
        ends_s: when it ends, by the same clock; None: not known, or never.
        age_s: how long ago its first process started; None: not known.
    """
    if ends_s is None or starts_s is None or age_s is None:
        return ends_s
    by_age = time.time() + (ends_s - starts_s) - age_s
    return min(ends_s, by_age) if abs(ends_s - by_age) <= _PROLOGUE_S else by_age


def job_age_s() -> float | None:
    """Return how long ago the process of Slurm started that started this one, whatever the clock says.

    None if there is none, or if it cannot be seen, as in a container. Source: proc(5), `stat`.
    """
    pid = os.getpid()
    for _ in range(_MAX_ANCESTORS):
        try:
            text = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
            name, _, rest = text.partition("(")[2].rpartition(")")
            fields = rest.split()
            if name == "slurmstepd":
                began_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
                return time.clock_gettime(time.CLOCK_BOOTTIME) - began_s
            pid = int(fields[1])
        except (OSError, ValueError, IndexError):
            return None
    return None


def again(where: Place, *, elsewhere: bool = False) -> bool:
    """Ask Slurm to put this task back into its queue; return whether it does.

    Slurm sends SIGTERM to the task at once.

    Args:
        where: this task.
        elsewhere: whether its node must not run it again.
    """
    if where.n_restarts >= MAX_RESTARTS:
        return False
    try:
        is_queued = ask("scontrol", "requeue", where.job, timeout_s=30).is_ok
        if is_queued and elsewhere and where.machine:
            _exclude(where.job, where.machine)
    except StudyError:
        return False
    return is_queued


def _exclude(job: str, node: str) -> None:
    """Keep a waiting task away from a node, and from those that it has to avoid already."""
    old = ask("squeue", "-h", "-j", job, "-o", "%x", timeout_s=20).text.strip()
    nodes = node if old in ("", "(null)") else f"{old},{node}"
    ask("scontrol", "update", f"jobid={job}", f"ExcNodeList={nodes}", timeout_s=30)
