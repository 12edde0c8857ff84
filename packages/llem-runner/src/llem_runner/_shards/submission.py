"""Give the shards of a study to a cluster: once, also if the answer of the cluster was lost."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from llem_runner._errors import (
    StudyError,
    SubmissionObstructed,
    SubmissionRefused,
    SubmissionUnknown,
)
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.cluster_registry import find_cluster
from llem_runner._shards.division import Division, divide_study, read_plan
from llem_runner._shards.records import ShardPlan, ShardState, Submission
from llem_runner._shards.reopening import reopen_shards
from llem_runner._storage.layout import Layout
from llem_runner._storage.lock import hold
from llem_runner._storage.tickets import Ticket, add_tickets, of_cluster, read_tickets


class SubmittedStudy(msgspec.Struct, frozen=True, kw_only=True):
    """A study of which a cluster has accepted shards."""

    folder: str
    """Path of the study."""
    n_shards: int
    """Number of all its shards."""
    submitted: tuple[int, ...]
    """Numbers of the shards that the cluster has accepted now."""
    left: tuple[int, ...] = ()
    """Numbers of the shards that it did not take, because of a limit on jobs."""
    waiting: tuple[int, ...] = ()
    """Numbers of the shards that wait or run already, from an earlier submission."""
    tickets: tuple[Ticket, ...]
    """Of what was accepted now."""


def preview(
    division: Division, cluster: Cluster, results_dir: Path, *, arguments: Sequence[str] = ()
) -> Submission:
    """Return what `submit_study` would write and ask; writes nothing.

    The name of the folder is of the right form, but another one each time.

    Args:
        division: as in `submit_study`.
        cluster: as in `submit_study`.
        results_dir: parent folder of the study's own folder.
        arguments: as in `submit_study`.

    Raises:
        SubmissionObstructed: nothing can be submitted from here.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{division.study.name}_{stamp}_{secrets.token_hex(2)}"
    plan = _with(_plan(division, (results_dir / name).absolute()), arguments)
    check_obstacles(cluster, plan)
    return cluster.render(plan, [shard.number for shard in plan.shards])


def submit_study(
    division: Division,
    *,
    cluster: Cluster,
    name: str,
    output: str | Path | None = None,
    arguments: Sequence[str] = (),
) -> SubmittedStudy:
    """Divide a study into shards, and give all of them to a cluster.

    The folder is complete before the cluster gets anything, so a refusal loses nothing.

    Args:
        division: of the study, from `plan_division`.
        cluster: that starts the shards.
        name: of the cluster, for messages.
        output: parent folder of the study's own folder; None: the one in the settings.
        arguments: of `study shard` in each task, such as `--retry`, `2`.

    Raises:
        SubmissionObstructed: nothing can be submitted from here; nothing was written.
        SubmissionRefused: the cluster took nothing; the folder is kept, and the message names it.
        SubmissionUnknown: it cannot be told whether it took something; likewise.
        StudyError: the folder cannot be written.
    """
    results_dir = Path(output) if output is not None else division.settings.output.results_dir
    check_obstacles(cluster, _plan(division, (results_dir / division.study.name).absolute()))
    plan = _with(divide_study(division, output=output), arguments)
    try:
        return submit_shards(plan, [shard.number for shard in plan.shards], cluster)
    except (SubmissionRefused, SubmissionUnknown) as error:
        again = shlex.join(["llem-cli", "study", "resume", str(plan.folder), "--on", name])
        raise type(error)(f"{error}\nthe study is kept; continue with `{again}`") from error


def submit_shards(plan: ShardPlan, numbers: Sequence[int], cluster: Cluster) -> SubmittedStudy:
    """Give shards to a cluster, and save its tickets.

    Args:
        plan: of the divided study, from `read_plan`.
        numbers: of the shards, from 1.
        cluster: that starts them.

    Raises:
        SubmissionRefused: the cluster took nothing.
        SubmissionUnknown: it cannot be told whether it took something.
        StudyError: earlier tickets cannot be read, or the new ones cannot be saved.
    """
    # Before the cluster is asked: without its tickets, what it accepts would be submitted again.
    read_tickets(plan.folder)
    tickets = tuple(cluster.submit(plan, sorted(numbers)))
    add_tickets(plan.folder, tickets)
    taken = {number for ticket in tickets for number in ticket.shards}
    return SubmittedStudy(
        folder=str(plan.folder),
        n_shards=len(plan.shards),
        submitted=tuple(sorted(taken)),
        left=tuple(number for number in sorted(numbers) if number not in taken),
        tickets=tickets,
    )


def resubmit_shards(
    folder: str | Path,
    numbers: Sequence[int],
    *,
    cluster: Cluster,
    even_if_running: bool = False,
    arguments: Sequence[str] = (),
) -> SubmittedStudy:
    """Give shards to a cluster that neither wait nor run there.

    A shard whose last attempts finished no run gets more of them.

    Args:
        folder: of the divided study.
        numbers: of the shards that are not whole.
        cluster: that starts them.
        even_if_running: whether to submit shards also if the cluster does not tell their state. Two
            processes may then work on one; nothing is lost, but runs are repeated.
        arguments: of `study shard` in each task, such as `--retry-failed`.

    Raises:
        SubmissionObstructed: nothing can be submitted from here.
        SubmissionRefused: the cluster took nothing.
        SubmissionUnknown: it cannot be told whether it took something.
        StudyLocked: another command does the same.
        StudyError: the cluster does not tell whether shards run, or a file is damaged.
    """
    plan = _with(read_plan(folder), arguments)
    check_obstacles(cluster, plan)
    # Two commands at once would both find that no shard waits, and submit all of them.
    lock = hold(
        Layout(plan.folder).lock,
        str(plan.folder),
        is_required=False,
        in_use=f"another command is submitting shards of {plan.folder}, or adding to it",
    )
    with lock:
        return _resubmit(plan, numbers, cluster, even_if_running=even_if_running)


def _resubmit(
    plan: ShardPlan, numbers: Sequence[int], cluster: Cluster, *, even_if_running: bool
) -> SubmittedStudy:
    """Give shards to a cluster that neither wait nor run there; call it with the lock."""
    # A submission whose answer was lost has no ticket yet.
    add_tickets(plan.folder, cluster.found(plan))
    wanted = set(numbers)
    states = {n: s for n, s in cluster_states(plan.folder, cluster).items() if n in wanted}
    unknown = sorted(n for n, state in states.items() if state.phase == "unknown")
    if unknown and not even_if_running:
        reason = states[unknown[0]].reason or "no reason"
        raise StudyError(
            f"{plan.folder}: it cannot be told whether shard {unknown[0]} runs ({reason}); try again "
            "later, or use --even-if-running if you know that it does not"
        )
    waiting = tuple(sorted(n for n, s in states.items() if s.phase in ("waiting", "running")))
    rest = [number for number in sorted(wanted) if number not in waiting]
    if not rest:  # a cluster takes no array without a job
        return SubmittedStudy(
            folder=str(plan.folder),
            n_shards=len(plan.shards),
            submitted=(),
            waiting=waiting,
            tickets=(),
        )
    # Before a task starts: it would be refused, or ended by the attempt that allows more attempts.
    reopen_shards(plan.folder, rest)
    return msgspec.structs.replace(submit_shards(plan, rest, cluster), waiting=waiting)


def cluster_states(folder: str | Path, cluster: Cluster | None = None) -> Mapping[int, ShardState]:
    """Return what the clusters of a study say of its shards; a shard without a ticket has no state.

    Args:
        folder: of the study.
        cluster: that all its tickets are of; None: each is found by its name.

    Raises:
        StudyError: the tickets are damaged, or no installed package provides a cluster.
    """
    tickets = read_tickets(Path(folder))
    states: dict[int, ShardState] = {}
    for name in dict.fromkeys(ticket.cluster for ticket in tickets):
        own = of_cluster(tickets, name)
        states |= (cluster or find_cluster(name)).states(own)
    return states


def _plan(division: Division, folder: Path) -> ShardPlan:
    return ShardPlan(
        folder=folder,
        shards=division.shards,
        seconds_per_shard=division.seconds_per_shard,
        needs=division.needs,
    )


def _with(plan: ShardPlan, arguments: Sequence[str]) -> ShardPlan:
    return msgspec.structs.replace(plan, arguments=tuple(arguments))


def check_obstacles(cluster: Cluster, plan: ShardPlan) -> None:
    """Return if a cluster can be given shards from here.

    Raises:
        SubmissionObstructed: it cannot.
    """
    if problems := cluster.obstacles(plan):
        raise SubmissionObstructed("\n".join(problems))
