"""How far each shard of a divided study is, by its files alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from llem_runner._storage.attempts import Attempt, read_attempts
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_manifest import merge_manifests
from llem_runner._storage.running import unseen_process

ShardStatus = Literal["not started", "running", "unknown", "stopped", "failed", "complete"]


class ShardProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far one shard is."""

    shard: int
    """Its number, from 1."""
    cycle: int
    """The cycle of its runs, from 1."""
    status: ShardStatus
    """`running`: the process of an attempt is alive. `unknown`: an attempt has not ended, as far as its
    files say, and its process cannot be seen from here. `stopped`: runs are left. `failed`: no run is
    left, but some have no result."""
    reason: str | None
    """Why the last attempt ended before the last run, or when its process gave the last sign of life."""
    machine: str | None
    """The machine of the last attempt."""
    n_attempts: int
    """Attempts that have begun."""
    n_runs: int
    """Of the shard."""
    n_completed: int
    """Runs with a result, of all attempts."""
    n_failed: int
    """Runs that have failed and have no result."""


def shard_progress(folder: str | Path) -> tuple[ShardProgress, ...]:
    """Return how far each shard of a study is, in their order.

    Raises:
        StudyError: not the folder of a divided study, or it is damaged.
    """
    divided = DividedFolder(Path(folder))
    counts: dict[int, Counter[str]] = {}
    for entry in merge_manifests(divided).entries:
        counts.setdefault(entry.shard or 0, Counter())[entry.status] += 1
    progress = []
    for shard in divided.read_plan().shards:
        attempts = read_attempts(divided, shard.number)
        count = counts[shard.number]
        status, reason = _status(shard.number, attempts, count, len(shard.runs))
        record = attempts[-1].record if attempts else None
        progress.append(
            ShardProgress(
                shard=shard.number,
                cycle=shard.cycle,
                status=status,
                reason=reason,
                machine=None if record is None else record.machine or record.process.host,
                n_attempts=len(attempts),
                n_runs=len(shard.runs),
                n_completed=count["completed"],
                n_failed=count["failed"],
            )
        )
    return tuple(progress)


def _status(
    shard: int, attempts: Sequence[Attempt], counts: Counter[str], n_runs: int
) -> tuple[ShardStatus, str | None]:
    if counts["completed"] == n_runs:
        return "complete", None
    if counts["completed"] + counts["failed"] == n_runs:
        return "failed", None
    if not attempts:
        return "not started", None
    last = attempts[-1]
    alive = last.is_alive
    if alive is True:
        return "running", None
    if alive is None:
        return "unknown", str(unseen_process(shard, last))
    if last.damage:
        return "stopped", "a file of its last attempt was cut off"
    if last.record is None or last.is_open:
        return "stopped", "its process was killed"
    return "stopped", last.record.reason or last.record.state
