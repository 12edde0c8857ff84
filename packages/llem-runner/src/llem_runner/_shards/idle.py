"""Whether a process may be running a shard of a study."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from llem_config import LlemError
from llem_runner._errors import StudyError
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.records import ShardState
from llem_runner._shards.submission import cluster_states
from llem_runner._storage.attempts import Attempt, read_attempts
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_records import PlanFile
from llem_runner._storage.running import unseen_process


class _Running(NamedTuple):
    """An attempt whose process runs, or may run."""

    shard: int
    attempt: Attempt
    is_certain: bool
    who: str


def check_idle(divided: DividedFolder, numbers: Sequence[int]) -> None:
    """Return if no process can be running one of some shards, and no cluster is about to start one.

    Raises:
        StudyError: one may be. A cluster that does not answer says nothing.
    """
    states: Mapping[int, ShardState] = {}
    with contextlib.suppress(LlemError):
        states = cluster_states(divided.folder)
    for number in numbers:
        if number in states and states[number].phase in ("waiting", "running"):
            raise StudyError(
                f"{divided.folder}: shard {number} is {states[number].phase} on its cluster; continue with "
                "--on, or cancel it by `llem-cli study cancel`, or use --even-if-running to run it here all the "
                "same"
            )
    for found in _may_run(divided, numbers, {}):
        if found.is_certain:
            runs = f"{found.who} is running"
        else:
            runs = f"{unseen_process(found.shard, found.attempt)}, so it may be running"
        raise StudyError(
            f"{found.attempt.folder.path}: {runs}; wait until it ends, or use --even-if-running: "
            "it then ends after its present run"
        )


def check_not_running(
    divided: DividedFolder, plan: PlanFile, cluster: Cluster | None, *, even_if_running: bool
) -> None:
    """Return if shards may be added to a study, because none of those that it has runs.

    Args:
        divided: the study.
        plan: of the study.
        cluster: that knows the shards whose processes cannot be seen from here; None: none does.
        even_if_running: whether to return in any case.

    Raises:
        StudyError: a shard runs or may run, or the cluster does not answer.
    """
    if even_if_running:
        return
    numbers = [shard.number for shard in plan.shards]
    states = {} if cluster is None else cluster_states(divided.folder, cluster)
    for found in _may_run(divided, numbers, states):
        if found.is_certain:
            raise StudyError(
                f"{divided.folder} is running (shard {found.shard}, {found.who}); wait until it ends, or "
                "cancel it, before you add to it"
            )
        raise StudyError(
            f"{divided.folder} may be running (shard {found.shard}, {found.who}, which cannot be seen from "
            "here); wait until it ends, or use --even-if-running if you know that it does not run"
        )


def _may_run(
    divided: DividedFolder, numbers: Sequence[int], states: Mapping[int, ShardState]
) -> Iterator[_Running]:
    """Yield the attempts at some shards that run or may run.

    Args:
        divided: the study.
        numbers: of the shards.
        states: what a cluster says of shards; () for those of which it says nothing.
    """
    for number in numbers:
        attempts = read_attempts(divided, number)
        for attempt in attempts:
            alive = attempt.is_alive
            if alive is False or attempt.record is None:
                continue
            is_fenced = attempt is not attempts[-1]
            has_ended = number in states and states[number].phase == "ended"
            if alive is None and (is_fenced or has_ended):
                continue
            process = attempt.record.process
            yield _Running(number, attempt, bool(alive), f"process {process.pid} on {process.host}")
