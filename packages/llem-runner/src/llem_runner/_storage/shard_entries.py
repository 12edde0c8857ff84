"""The runs of one shard, merged from its attempts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from llem_energy import ExperimentResult
from llem_runner._errors import StudyError
from llem_runner._plan.shards import Shard
from llem_runner._storage.attempts import Attempt
from llem_runner._storage.divided_records import PlanFile
from llem_runner._storage.layout import RESULT, Layout
from llem_runner._storage.live_reading import find_run_folder
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.result_files import intact_result
from llem_runner._storage.run_facts import FactsOfRuns, RunFacts


class _Found(NamedTuple):
    """A result of a run in an attempt."""

    file: str
    """Relative to the folder of the attempt."""
    sha256: str | None
    result: ExperimentResult | None
    """None if it was not read."""


class ShardMerge:
    """The runs of one shard, from its attempts."""

    def __init__(
        self, plan: PlanFile, shard: Shard, attempts: Sequence[Attempt], facts: FactsOfRuns | None
    ) -> None:
        self._plan = plan
        self._shard = shard
        self._attempts = attempts
        self._facts = facts
        self.results: dict[int, RunFacts] = {}
        self.n_superseded = 0

    def entries(self) -> Iterator[ManifestEntry]:
        """Yield one entry for each run, in their order."""
        by_run: dict[int, list[tuple[Attempt, ManifestEntry]]] = {i: [] for i in self._shard.runs}
        for attempt in self._attempts:
            for entry in attempt.manifest.entries if attempt.manifest else ():
                if entry.index in by_run:
                    self._check(attempt, entry)
                    by_run[entry.index].append((attempt, entry))
        for index, found in by_run.items():
            n_attempts = sum(entry.attempts for _, entry in found)
            yield msgspec.structs.replace(
                self._entry(index, found),
                label=self._plan.points[self._plan.point_of_run[index - 1]].label,
                shard=self._shard.number,
                attempts=n_attempts,
            )

    def _check(self, attempt: Attempt, entry: ManifestEntry) -> None:
        """Return if an attempt has the planned point and cycle for a run."""
        point = self._plan.points[self._plan.point_of_run[entry.index - 1]].config_hash
        expected, found = (point, self._shard.cycle), (entry.config_hash, entry.cycle)
        if found != expected:
            raise StudyError(
                f"{Layout(attempt.folder.path).manifest} is damaged: run {entry.index}: expected the "
                f"point {point} in cycle {self._shard.cycle}, found {entry.config_hash} in cycle "
                f"{entry.cycle}; restore it from a copy"
            )

    def _entry(self, index: int, found: Sequence[tuple[Attempt, ManifestEntry]]) -> ManifestEntry:
        n_results = sum(entry.status in ("completed", "running") for _, entry in found)
        # Of several, a damaged one does not count, for no reader.
        is_read = self._facts is not None or n_results > 1
        for place, (attempt, entry) in enumerate(found):
            if (result := self._find(attempt, entry, is_read=is_read)) is not None:
                later = found[place + 1 :]
                self.n_superseded += sum(each.status == "completed" for _, each in later)
                return self._completed(attempt, entry, result)
        failed = [(attempt, entry) for attempt, entry in found if entry.status == "failed"]
        for attempt, entry in [*found, *failed][-1:]:
            status = entry.status
            if status == "completed" or (status == "running" and attempt is not self._last_open):
                status = "interrupted"  # its result is damaged, or its process has ended
            return msgspec.structs.replace(
                entry,
                session=attempt.folder.number,
                status=status,
                result_file=None,
                result_sha256=None,
                files_sha256={},
            )
        point = self._plan.points[self._plan.point_of_run[index - 1]]
        return ManifestEntry(
            index=index,
            cycle=self._shard.cycle,
            config_hash=point.config_hash,
            label=point.label,
        )

    @property
    def _last_open(self) -> Attempt | None:
        """Return the last attempt if it has not ended, as far as its files say."""
        last = self._attempts[-1] if self._attempts else None
        return last if last is not None and last.is_open else None

    def _find(self, attempt: Attempt, entry: ManifestEntry, *, is_read: bool) -> _Found | None:
        """Return the result of a run in an attempt; None if it has none, or a damaged one."""
        folder = attempt.folder.path
        if entry.status == "completed" and entry.result_file is not None:
            if not is_read:
                return _Found(entry.result_file, entry.result_sha256, None)
            name = entry.result_file
        elif entry.status == "running":
            # Its process may have been killed between writing the result and the manifest.
            run_folder = find_run_folder(folder, entry)
            if run_folder is None:
                return None
            name = f"{run_folder.name}/{RESULT}"
        else:
            return None
        kept = intact_result(folder / name, entry)
        return None if kept is None else _Found(name, kept.sha256, kept.result)

    def _completed(self, attempt: Attempt, entry: ManifestEntry, found: _Found) -> ManifestEntry:
        if found.result is not None and self._facts is not None:
            self.results[entry.index] = self._facts.of(found.result)
        folder = attempt.folder.path
        return msgspec.structs.replace(
            entry,
            status="completed",
            result_file=f"{folder.parent.parent.name}/{folder.parent.name}/{folder.name}/{found.file}",
            result_sha256=found.sha256,
            session=attempt.folder.number,
        )
