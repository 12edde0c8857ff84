"""`resume_shards`: run what is left of a divided study in this process, shard by shard."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from llem_config import Settings
from llem_energy import measure as default_measure
from llem_runner._control import Control
from llem_runner._events import OnEvent
from llem_runner._executors.protocol import Executor
from llem_runner._executors.task import Measure
from llem_runner._shards.idle import check_idle
from llem_runner._shards.merge import merge_study
from llem_runner._shards.open_shards import open_shards
from llem_runner._shards.outcome import ShardOutcome
from llem_runner._shards.reopening import reopen_shards
from llem_runner._shards.run_shard import run_shard
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.study_result import StudyResult


class Resumed(NamedTuple):
    """What `resume_shards` has done."""

    result: StudyResult
    """The statistics over all results, after the merge."""
    outcomes: tuple[ShardOutcome, ...]
    """Of each shard that had runs to do, in their order; it ends with the first that was stopped."""


def resume_shards(
    folder: str | Path,
    *,
    even_if_running: bool = False,
    retry_failed: bool = False,
    control: Control | None = None,
    on_event: OnEvent | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
    executor: Executor | None = None,
    retry: int = 0,
    time_limit_s: float | None = None,
    wait: bool = True,
) -> Resumed:
    """Run the shards of a divided study that are not complete, one after the other, and merge.

    Args:
        folder: of the study.
        even_if_running: run also the shards of which another process may run an attempt, whose machine
            cannot be seen from here. Such an attempt ends after its present run.
        retry_failed: whether runs that have failed run again.
        control: as in `run_study`.
        on_event: as in `run_study`.
        measure: as in `run_study`.
        settings: as in `run_study`.
        executor: as in `run_study`.
        retry: as in `run_study`.
        time_limit_s: for all shards together, in seconds.
        wait: wait a short time for a GPU that another study uses.

    Raises:
        StudyError: not the folder of a divided study, or it is damaged; or another process may be
            running a shard of it.
    """
    divided = DividedFolder(Path(folder))
    numbers = open_shards(folder, retry_failed=retry_failed)
    if not even_if_running:
        check_idle(divided, numbers)
    reopen_shards(folder, numbers)
    end_s = None if time_limit_s is None else time.perf_counter() + time_limit_s
    outcomes: list[ShardOutcome] = []
    with Control.owned(control) as stop:
        for number in numbers:
            left_s = None if end_s is None else max(end_s - time.perf_counter(), 1e-3)
            outcome = run_shard(
                folder,
                number,
                control=stop,
                on_event=on_event,
                measure=measure,
                settings=settings,
                executor=executor,
                retry=retry,
                retry_failed=retry_failed,
                time_limit_s=left_s,
                wait=wait,
            )
            outcomes.append(outcome)
            if outcome.end not in ("complete", "failed", "fenced"):
                break
    return Resumed(merge_study(folder), tuple(outcomes))
