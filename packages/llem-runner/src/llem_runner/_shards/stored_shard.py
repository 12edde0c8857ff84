"""A shard as it is on disk: which of its runs are done, and whether the others may run here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llem_config import Settings, StudyConfig
from llem_config.settings import load_settings
from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun
from llem_runner._shards.outcome import ShardEnd, ShardOutcome
from llem_runner._storage.attempts import (
    MAX_FRUITLESS,
    Attempt,
    check_study_of,
    failed_runs,
    kept_results,
    n_fruitless,
    read_attempts,
)
from llem_runner._storage.differences import file_differences, version_differences
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_records import ShardFile, planned_runs
from llem_runner._storage.manifest import tool_versions
from llem_runner._storage.result_files import KeptResult


class StoredShard(NamedTuple):
    """A shard as it is on disk."""

    folder: DividedFolder
    file: ShardFile
    study: StudyConfig
    runs: tuple[PlannedRun, ...]
    attempts: Sequence[Attempt]
    kept: dict[int, KeptResult]
    failed: frozenset[int]
    """Indices of the runs that have failed and have no result."""
    open_runs: tuple[PlannedRun, ...]

    @classmethod
    def read(cls, folder: DividedFolder, number: int, *, retry_failed: bool) -> StoredShard:
        """Read it.

        Raises:
            StudyError: there is no such shard, or a file of it is damaged.
        """
        file, study = folder.read_shard(number)
        runs = planned_runs(file, study)
        attempts = read_attempts(folder, number, check_packs=True)
        check_study_of(attempts, file.origin.study_design_hash)
        kept = kept_results(attempts, runs)
        failed = failed_runs(attempts) - kept.keys()
        done = kept.keys() if retry_failed else kept.keys() | failed
        open_runs = tuple(run for run in runs if run.index not in done)
        return cls(folder, file, study, runs, attempts, kept, failed, open_runs)

    @property
    def number(self) -> int:
        """Return its number."""
        return self.file.shard.number

    def check(self) -> None:
        """Return if its runs may run here, as far as its files say so.

        Raises:
            StudyError: they may not.
        """
        path = self.folder.shard(self.number)
        origin = self.file.origin
        if n_fruitless(self.attempts) >= MAX_FRUITLESS:
            record = self.attempts[-1].record
            why = f"; the last one: {record.reason}" if record and record.reason else ""
            raise StudyError(
                f"{path}: the last {MAX_FRUITLESS} attempts finished no run{why}; find out why, then "
                "use `study resume`"
            )
        lines = version_differences(origin.versions, tool_versions())
        lines += file_differences(self.study, origin.directory)
        if lines:
            raise StudyError(
                f"{path} cannot be run here, because its runs would not be comparable with those of "
                "other shards; remove the differences, or run it where there are none:\n"
                + "\n".join(f"  {line}" for line in lines)
            )

    def settings(self, given: Settings | None) -> Settings:
        """Return the settings of this machine with those that all shards share."""
        settings = given or load_settings()
        shared = {
            section: getattr(settings, section).model_copy(update=values)
            for section, values in self.file.origin.settings.items()
            if section in ("execution", "measurement")
        }
        return settings.model_copy(update=shared)

    def outcome(self, attempt: int | None, end: ShardEnd, reason: str | None) -> ShardOutcome:
        """Return how an attempt has ended, with the counts of all attempts."""
        return ShardOutcome(
            shard=self.number,
            attempt=attempt,
            end=end,
            reason=reason,
            n_runs=len(self.runs),
            n_completed=len(self.kept),
            n_failed=len(self.failed),
        )
