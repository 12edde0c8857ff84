"""Asks clusters for the energy of whole machines, once the attempts that ran there have ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from llem_config import LlemError
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.cluster_registry import find_cluster
from llem_runner._storage.attempt_record import AttemptRecord
from llem_runner._storage.attempts import read_attempts
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.node_energy import (
    Coverage,
    NodeEnergyRecord,
    add_node_energy,
    read_node_energy,
)


class JobStart(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a task, which made one attempt at a shard."""

    job: str
    """The cluster's name for the task."""
    n_restarts: int
    """How often the cluster had started it before."""
    machine: str | None
    attempt_s: float | None
    """Seconds from the beginning of the attempt to its end; None if it did not end by itself."""
    ended_at: str | None
    """When it ended, in UTC, ISO 8601; None if it did not end by itself."""


class NodeReading(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster says of the energy of a machine from the start of a job to its end."""

    energy_j: float | None = None
    reason: str | None = None
    """Why it is missing."""
    meter: str | None = None
    """What counted it, as the cluster names it."""
    covers: Coverage | None = None
    started_at: str | None = None
    """In UTC, ISO 8601."""
    ended_at: str | None = None
    is_final: bool = True
    """Whether a later question would have the same answer."""


@runtime_checkable
class NodeMeter(Protocol):
    """A cluster whose accounting may have the energy of its machines."""

    def node_energy(self, starts: Sequence[JobStart]) -> Sequence[NodeReading]:
        """Return one reading for each start, by one question for each array of jobs.

        A reading without joules says why; 0 joules are never a reading.
        """


class NodeQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """How a question for the energy of machines ended."""

    n_new: int = 0
    """Number of attempts about which something is known now."""
    open_reasons: tuple[str, ...] = ()
    """Why there is no final answer about others, each once."""


def ask_node_energy(folder: str | Path, cluster: Cluster | None = None) -> NodeQuestion:
    """Ask the clusters of a divided study for the energy of its machines, and save what they say.

    The question is about attempts that a cluster started, that have ended, and of which nothing is
    saved. `merge_study` then has the answers in `summary.node_energy`.

    Args:
        folder: of the study.
        cluster: that has started all attempts; None: each is found by its name.

    Raises:
        StudyError: a file is damaged or cannot be written, or no installed package provides a cluster.
    """
    divided = DividedFolder(Path(folder))
    known = {(record.shard, record.attempt) for record in read_node_energy(divided.folder)}
    records = list(_ended(divided))
    n_attempts = Counter(_job(record) for record in records)
    new = [record for record in records if (record.shard, record.attempt) not in known]
    answers: list[NodeEnergyRecord] = []
    asked: dict[str, list[AttemptRecord]] = {}
    for record in new:
        reason = _why_not_asked(record, n_attempts[_job(record)])
        if reason is None:
            asked.setdefault(record.cluster or "", []).append(record)
        else:
            answers.append(_answer(record, NodeReading(reason=reason)))
    open_reasons: list[str] = []
    for name, attempts in asked.items():
        chosen = cluster or find_cluster(name)
        try:
            readings = list(zip(attempts, _readings(chosen, attempts), strict=True))
        except LlemError:
            raise
        except Exception as error:  # noqa: BLE001  # any package may provide a cluster
            open_reasons.append(f"the cluster {name} failed: {type(error).__name__}: {error}")
            continue
        for attempt, reading in readings:
            if reading.is_final:
                answers.append(_answer(attempt, reading))
            else:
                open_reasons.append(reading.reason or "the cluster does not tell")
    add_node_energy(divided.folder, answers)
    return NodeQuestion(n_new=len(answers), open_reasons=tuple(dict.fromkeys(open_reasons)))


def _ended(divided: DividedFolder) -> Iterator[AttemptRecord]:
    """Yield the attempts that a cluster has started and whose process is not known to run."""
    for shard in divided.read_plan().shards:
        attempts = read_attempts(divided, shard.number)
        for attempt in attempts:
            record = attempt.record
            if record is not None and record.cluster and record.job and not attempt.is_alive:
                yield record


def _job(record: AttemptRecord) -> tuple[str | None, str | None, int | None]:
    return record.cluster, record.job, record.n_restarts


def _why_not_asked(record: AttemptRecord, n_attempts: int) -> str | None:
    if not record.whole_machine:
        return "other jobs could use the machine, and the cluster counts the joules of all of them"
    if n_attempts > 1:
        return f"its job made {n_attempts} attempts, whose joules the cluster does not tell apart"
    return None


def _readings(cluster: Cluster, attempts: Sequence[AttemptRecord]) -> Sequence[NodeReading]:
    if not isinstance(cluster, NodeMeter):
        return [NodeReading(reason="the cluster does not count energy")] * len(attempts)
    return cluster.node_energy(
        [
            JobStart(
                job=record.job or "",
                n_restarts=record.n_restarts or 0,
                machine=record.machine,
                attempt_s=_seconds(record),
                ended_at=record.ended_at,
            )
            for record in attempts
        ]
    )


def _seconds(record: AttemptRecord) -> float | None:
    if record.ended_at is None:
        return None
    start, end = map(datetime.fromisoformat, (record.started_at, record.ended_at))
    return (end - start).total_seconds()


def _answer(record: AttemptRecord, reading: NodeReading) -> NodeEnergyRecord:
    return NodeEnergyRecord(
        shard=record.shard,
        attempt=record.attempt,
        cluster=record.cluster or "",
        job=record.job or "",
        machine=record.machine,
        whole_machine=record.whole_machine,
        energy_j=reading.energy_j,
        reason=reading.reason,
        meter=reading.meter,
        covers=reading.covers,
        started_at=reading.started_at,
        ended_at=reading.ended_at,
    )
