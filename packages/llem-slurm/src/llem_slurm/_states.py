"""What Slurm says of jobs: the lines of `squeue` and `sacct` as states of shards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from llem_runner import StudyError
from llem_runner.clusters import ShardPhase, ShardState, Ticket
from llem_slurm._commands import Answer, ask
from llem_slurm._refusals import is_refused

_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD"}
_ENDED = {
    "BOOT_FAIL": "the node could not start",
    "CANCELLED": "cancelled",
    "COMPLETED": "ended",
    "DEADLINE": "it could not end before its deadline",
    "FAILED": "failed",
    "NODE_FAIL": "the node failed",
    "OUT_OF_MEMORY": "it needed more memory than its limit",
    "PREEMPTED": "preempted",
    "REVOKED": "moved to another cluster",
    "TIMEOUT": "it reached the time limit",
}
_FIELDS = "ArrayJobID:|,ArrayTaskID:|,JobID:|,State:|,Reason:|,NodeList:|,RestartCnt:"
_FORGOTTEN = "Invalid job id"
"""What Slurm says of the number of a job that it no longer keeps."""
_RANK: Mapping[ShardPhase, int] = {"running": 3, "waiting": 2, "unknown": 1, "ended": 0}


def job_and_offset(ticket: Ticket) -> tuple[str, int]:
    """Return the number of a ticket's array, and what its indices are less than its shards."""
    job, _, offset = ticket.job.partition("+")
    return job, int(offset or 0)


def ticket_job(job: str, offset: int) -> str:
    """Return how a ticket names an array."""
    return f"{job}+{offset}" if offset else job


def named_jobs(offsets: Mapping[str, int]) -> list[tuple[str, int, tuple[int, ...]]]:
    """Return the arrays with some names that Slurm lists: number, offset and shards of each.

    Those that it has refused are left out; see `is_refused`.

    Args:
        offsets: of the arrays, by their names.

    Raises:
        StudyError: Slurm does not answer.
    """
    fields = "ArrayJobID:|,ArrayTaskID:|,State:|,Reason:|,Name:"
    answer = ask("squeue", "-h", "-r", "-t", "all", f"--name={','.join(offsets)}", "-O", fields)
    if not answer.is_ok:
        raise StudyError(_silence(answer))
    jobs: dict[tuple[str, int], list[int]] = {}
    for line in answer.text.splitlines():
        job, index, state, reason, name = (part.strip() for part in line.split("|", 4))
        if index.isdigit() and name in offsets and not is_refused(state, reason):
            jobs.setdefault((job, offsets[name]), []).append(int(index) + offsets[name])
    return [(job, offset, tuple(sorted(shards))) for (job, offset), shards in jobs.items()]


def states(tickets: Sequence[Ticket]) -> dict[int, ShardState]:
    """Return the state of each shard by its number; of its newest job, unless an older one lives."""
    found: dict[int, ShardState] = {}
    for ticket in tickets:
        for number, state in _of_ticket(ticket).items():
            old = found.get(number)
            if old is None or _RANK[state.phase] >= min(_RANK[old.phase], 2):
                found[number] = state
    return found


def _of_ticket(ticket: Ticket) -> dict[int, ShardState]:
    job, offset = job_and_offset(ticket)
    try:
        answer = ask("squeue", "-h", "-r", "-t", "all", "-j", job, "-O", _FIELDS, timeout_s=30)
    except StudyError as error:
        return dict.fromkeys(ticket.shards, ShardState(phase="unknown", reason=str(error)))
    is_forgotten = not answer.is_ok and _FORGOTTEN in answer.problem
    if not answer.is_ok and not is_forgotten:
        return dict.fromkeys(ticket.shards, ShardState(phase="unknown", reason=_silence(answer)))
    listed = {index + offset: state for index, state in _listed(answer.text.splitlines())}
    absent = [number for number in ticket.shards if number not in listed]
    if absent:
        # An empty list alone is no news: Slurm also gives one while it starts. That it has no
        # such job, or has others of the same array, is an answer about these.
        is_told = is_forgotten or bool(listed)
        listed |= _recorded(job, offset, absent, is_told=is_told)
    return {number: listed[number] for number in ticket.shards}


def _silence(answer: Answer) -> str:
    lines = answer.problem.splitlines()
    return f"Slurm does not answer: {lines[-1] if lines else 'no text'}"


def _listed(lines: Iterable[str]) -> Iterable[tuple[int, ShardState]]:
    """Yield index and state of each line of squeue."""
    for line in lines:
        parts = [part.strip() for part in line.split("|")]
        if len(parts) != 7 or not parts[1].isdigit():
            continue
        job, index, _, state, reason, node, restarts = parts
        yield (
            int(index),
            ShardState(
                phase=_phase(state),
                machine=_name(node),
                reason=_held(f"{job}_{index}", reason) or _reason(state, _name(reason)),
                n_restarts=int(restarts) if restarts.isdigit() else None,
            ),
        )


def _recorded(
    job: str, offset: int, shards: Sequence[int], *, is_told: bool
) -> dict[int, ShardState]:
    """Return the states of shards that squeue does not list, from the accounting if there is any."""
    found: dict[int, ShardState] = {}
    try:
        answer = ask("sacct", "-n", "-P", "-X", "-j", job, "-o", "JobID,State,NodeList,ExitCode",
                     timeout_s=30)  # fmt: skip
    except StudyError:
        answer = Answer(None, "", "")
    for line in answer.text.splitlines() if answer.is_ok else ():
        match = re.fullmatch(rf"{job}_(\d+)\|(\w+)[^|]*\|([^|]*)\|([^|]*)", line)
        if match is not None and match[2] in _ENDED:
            found[int(match[1]) + offset] = ShardState(
                phase="ended",
                machine=_name(match[3]),
                reason=_reason(match[2], None, exit_code=match[4]),
            )
    rest = (
        ShardState(
            phase="ended", reason="Slurm no longer has the job and does not tell how it ended"
        )
        if is_told
        else ShardState(phase="unknown", reason="Slurm does not list the job")
    )
    return {number: found.get(number, rest) for number in shards}


def _phase(state: str) -> ShardPhase:
    if state in _WAITING:
        return "waiting"
    # A job that completes may still have processes; an unknown word is not an end.
    return "ended" if state in _ENDED else "running"


def _held(task: str, reason: str) -> str | None:
    """Return what a person must do for a task that Slurm does not start by itself; None for others.

    Slurm holds a task, for example, whose old process was still there when it was started again.
    """
    if re.search("held", reason, re.IGNORECASE) is None:
        return None
    return f"Slurm holds it ({reason}) until `scontrol release {task}`"


def _reason(state: str, reason: str | None, exit_code: str = "0:0") -> str | None:
    if state == "RUNNING":
        return None
    if state not in _ENDED:
        return reason or state.lower()
    code, _, number = exit_code.partition(":")
    if state == "FAILED" and (code, number) != ("0", "0"):
        return (
            f"failed with exit code {code}" if number in ("", "0") else f"ended by signal {number}"
        )
    return _ENDED[state] if reason in (None, "None") else f"{_ENDED[state]} ({reason})"


def _name(text: str) -> str | None:
    return text if text not in ("", "None", "(null)", "None assigned", "n/a") else None
