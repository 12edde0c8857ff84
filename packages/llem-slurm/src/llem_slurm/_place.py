"""Where a task runs: from its environment, and one question to Slurm."""

from __future__ import annotations

import math
from collections.abc import Mapping

from llem_runner import StudyError
from llem_runner.clusters import Place, granted_gpus
from llem_slurm._commands import ask

MAX_RESTARTS = 20
"""A task that was started so often is not started again by us: something is wrong with it."""


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
    ends_at, is_alone = _end_and_share(name)
    stated = environment.get("SLURM_JOB_END_TIME", "")  # from version 23.02 on
    restarts = environment.get("SLURM_RESTART_COUNT", "")
    numbers = environment.get("SLURM_JOB_GPUS", "")  # of device files
    return Place(
        cluster="slurm",
        job=name,
        n_restarts=int(restarts) if restarts.isdecimal() else 0,
        machine=environment.get("SLURMD_NODENAME"),
        gpus=granted_gpus(numbers.split(","), environment) if numbers else None,
        ends_at=float(stated) if stated.isdecimal() else ends_at,
        whole_machine=is_alone,
    )


def _end_and_share(job: str) -> tuple[float | None, bool]:
    """Return when a job ends, in seconds since 1970, and whether it has its node to itself."""
    try:
        answer = ask("squeue", "-h", "-j", job, "-O", "EndTime:|,OverSubscribe:", timeout_s=20)
    except StudyError:
        return None, False
    end, _, share = answer.text.partition("|") if answer.is_ok else ("", "", "")
    ends_at = float(end) if end.strip().isdecimal() else math.inf
    # NO: no other job may have a part of the node.
    return ends_at if math.isfinite(ends_at) else None, share.strip() == "NO"


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
