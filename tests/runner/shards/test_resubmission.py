"""Shards that are submitted again: each once, and those that made no progress get more attempts first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes.shard_studies import divided, on_a_node
from fakes.willing_cluster import Willing, ticket

from llem_runner import StudyError
from llem_runner._storage.attempts import read_attempts
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner.clusters import ShardPlan, Ticket, cancel_study, resubmit_shards
from llem_runner.events import Event, RunStarted
from llem_runner.executors import InlineExecutor
from llem_runner.shards import ShardOutcome, open_shards, run_shard


def run(folder: Path, number: int, **options: Any) -> ShardOutcome:
    return run_shard(folder, number, executor=InlineExecutor(), measure=on_a_node, **options)


def broken(event: Event) -> None:
    if isinstance(event, RunStarted):
        raise StudyError("the machine is broken")


def without_progress(folder: Path, number: int) -> None:
    """Make as many attempts without a finished run as a shard may have."""
    for _ in range(3):
        with pytest.raises(StudyError, match="the machine is broken"):
            run(folder, number, on_event=broken)


class AtOnce(Willing):
    """A cluster that starts a shard before it says that it has accepted it."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[ShardOutcome] = []

    def submit(self, plan: ShardPlan, shards: Sequence[int]) -> Sequence[Ticket]:
        self.outcomes += [run(plan.folder, number) for number in shards]
        return super().submit(plan, shards)


class WithRunning(Willing):
    """A cluster whose tasks have begun, but finished no run, when it says that it has accepted them."""

    def submit(self, plan: ShardPlan, shards: Sequence[int]) -> Sequence[Ticket]:
        for number in shards:
            DividedFolder(plan.folder).claim_attempt(number)
        return super().submit(plan, shards)


def test_a_shard_without_progress_runs_also_if_its_task_starts_at_once(tmp_path: Path) -> None:
    folder = divided(tmp_path).folder
    without_progress(folder, 1)
    cluster = AtOnce()
    resubmit_shards(folder, [1], cluster=cluster)
    assert [outcome.end for outcome in cluster.outcomes] == ["complete"]


def test_no_attempt_comes_after_that_of_a_task_that_has_begun(tmp_path: Path) -> None:
    folder = divided(tmp_path).folder
    without_progress(folder, 1)
    resubmit_shards(folder, [1], cluster=WithRunning())
    records = [attempt.record for attempt in read_attempts(DividedFolder(folder), 1)]
    states = [None if record is None else record.state for record in records]
    # The last one is that of the task: another one after it would end it.
    assert states == ["error"] * 3 + ["reopened", None]


class Twice(Willing):
    """A cluster during whose answer a person gives the same command again."""

    def submit(self, plan: ShardPlan, shards: Sequence[int]) -> Sequence[Ticket]:
        if self.asked.count("submit") == 0:
            tickets = super().submit(plan, shards)
            with pytest.raises(StudyError, match="another command is submitting shards"):
                resubmit_shards(plan.folder, shards, cluster=self)
            return tickets
        return super().submit(plan, shards)


def test_two_commands_at_once_submit_a_shard_once(tmp_path: Path) -> None:
    folder = divided(tmp_path).folder
    cluster = Twice()
    done = resubmit_shards(folder, open_shards(folder), cluster=cluster)
    assert done.submitted == open_shards(folder)
    assert cluster.asked.count("submit") == 1


class WithoutAnswer(Willing):
    """A cluster that has accepted shards, but whose answer was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled: list[Ticket] = []

    def found(self, plan: ShardPlan) -> Sequence[Ticket]:
        return [ticket(*(shard.number for shard in plan.shards))]

    def cancel(self, tickets: Sequence[Ticket]) -> None:
        self.cancelled += tickets


def test_jobs_without_a_ticket_are_cancelled_too(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    cluster = WithoutAnswer()
    states = cancel_study(plan.folder, cluster=cluster)
    assert [each.shards for each in cluster.cancelled] == [(1, 2, 3, 4, 5, 6)]
    assert set(states) == {1, 2, 3, 4, 5, 6}
    cancel_study(plan.folder, cluster=cluster)
    assert len(cluster.cancelled) == 2  # by the ticket that it has now


def test_a_study_that_no_cluster_has_cannot_be_cancelled(tmp_path: Path) -> None:
    plan = divided(tmp_path)
    with pytest.raises(StudyError, match="no cluster has a shard of this study"):
        cancel_study(plan.folder, cluster=Willing())
    (plan.folder / "cluster" / "local").mkdir(parents=True)  # the logs of --gpus
    with pytest.raises(StudyError, match="no cluster has a shard of this study"):
        cancel_study(plan.folder)
