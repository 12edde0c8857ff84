"""The manifest of a divided study, merged from those of its attempts.

It depends on nothing but the files: not on the order of time stamps, on the machine that merges or on
how often that was done before. An attempt's files only grow, so every merge sees what earlier ones saw.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from llem_energy import ExperimentResult
from llem_runner._errors import StudyError
from llem_runner._plan.shards import Shard
from llem_runner._provenance.start import Start
from llem_runner._storage.attempts import Attempt, check_study_of, read_attempts
from llem_runner._storage.divided_folder import DividedFolder, PlanFile
from llem_runner._storage.layout import RESULT, Layout
from llem_runner._storage.live_reading import find_run_folder
from llem_runner._storage.manifest import (
    ManifestEntry,
    StudyManifest,
    StudyStatus,
    Totals,
    read_manifest_file,
)
from llem_runner._storage.result_files import intact_result


class MergedRuns(NamedTuple):
    """The runs of a divided study."""

    manifest: StudyManifest
    results: dict[int, ExperimentResult]
    """By index, those that were read."""
    attempts: dict[int, list[Attempt]]
    """By the number of their shard."""


class _Found(NamedTuple):
    """A result of a run in an attempt."""

    file: str
    """Relative to the folder of the attempt."""
    sha256: str | None
    result: ExperimentResult | None
    """None if it was not read."""


def merge_manifests(divided: DividedFolder) -> StudyManifest:
    """Return the manifest of a divided study as it is now; results are taken as their runs say.

    Only a run with several results has them read: the first one that is intact counts.

    Raises:
        StudyError: a file of the study is damaged.
    """
    return _merged(divided, read_results=False).manifest


def merge_runs(divided: DividedFolder) -> MergedRuns:
    """Return the manifest of a divided study as it is now, and every result; damaged ones do not count.

    Raises:
        StudyError: a file of the study is damaged.
    """
    return _merged(divided, read_results=True)


def _merged(divided: DividedFolder, *, read_results: bool) -> MergedRuns:
    plan = divided.read_plan()
    entries: dict[int, ManifestEntry] = {}
    results: dict[int, ExperimentResult] = {}
    attempts: dict[int, list[Attempt]] = {}
    n_superseded = 0
    for shard in plan.shards:
        attempts[shard.number] = read_attempts(divided, shard.number)
        check_study_of(attempts[shard.number], plan.origin.study_design_hash)
        merge = _ShardMerge(plan, shard, attempts[shard.number], read_results=read_results)
        for entry in merge.entries():
            entries[entry.index] = entry
        results.update(merge.results)
        n_superseded += merge.n_superseded
    ordered = tuple(entries[index] for index in sorted(entries))
    manifest = _manifest(divided, plan, ordered, attempts)
    return MergedRuns(
        msgspec.structs.replace(manifest, n_superseded=n_superseded),
        {index: results[index] for index in sorted(results)},
        attempts,
    )


class _ShardMerge:
    """The runs of one shard, from its attempts."""

    def __init__(
        self, plan: PlanFile, shard: Shard, attempts: Sequence[Attempt], *, read_results: bool
    ) -> None:
        self._plan = plan
        self._shard = shard
        self._attempts = attempts
        self._read_results = read_results
        self.results: dict[int, ExperimentResult] = {}
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
                self._entry(index, found), shard=self._shard.number, attempts=n_attempts
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
        is_read = self._read_results or n_results > 1
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
            path = folder / entry.result_file
        elif entry.status == "running":
            # Its process may have been killed between writing the result and the manifest.
            run_folder = find_run_folder(folder, entry)
            if run_folder is None:
                return None
            path = run_folder / RESULT
        else:
            return None
        kept = intact_result(path, entry)
        if kept is None:
            return None
        return _Found(path.relative_to(folder).as_posix(), kept.sha256, kept.result)

    def _completed(self, attempt: Attempt, entry: ManifestEntry, found: _Found) -> ManifestEntry:
        if found.result is not None and self._read_results:
            self.results[entry.index] = found.result
        folder = attempt.folder.path
        return msgspec.structs.replace(
            entry,
            status="completed",
            result_file=f"{folder.parent.parent.name}/{folder.parent.name}/{folder.name}/{found.file}",
            result_sha256=found.sha256,
            session=attempt.folder.number,
        )


def _manifest(
    divided: DividedFolder,
    plan: PlanFile,
    entries: tuple[ManifestEntry, ...],
    attempts: dict[int, list[Attempt]],
) -> StudyManifest:
    counts: Counter[str] = Counter(entry.status for entry in entries)
    begun = [attempt for each in attempts.values() for attempt in each]
    records = [attempt.record for attempt in begun if attempt.record is not None]
    manifests = [attempt.manifest for attempt in begun if attempt.manifest is not None]
    status = _status(attempts.values(), counts)
    ends = [record.ended_at for record in records if record.ended_at is not None]
    return StudyManifest(
        study_name=plan.origin.study_name,
        study_design_hash=plan.origin.study_design_hash,
        versions=plan.origin.versions,
        host=", ".join(dict.fromkeys(sorted(record.process.host for record in records))),
        pid=0,
        status=status,
        started_at=min((record.started_at for record in records), default=plan.origin.created_at),
        ended_at=None if status == "running" else max(ends, default=None),
        directory=plan.origin.directory,
        study_file_sha256=plan.study_file_sha256,
        resolved_sha256=plan.resolved_sha256,
        study_result_sha256=_digest_of_result(divided),
        overrides=plan.origin.overrides,
        input_changes=tuple(dict.fromkeys(line for m in manifests for line in m.input_changes)),
        shards=tuple(
            divided.shard(shard.number).relative_to(divided.folder).as_posix()
            for shard in plan.shards
        ),
        starts=tuple(_starts(attempts)),
        totals=Totals(**{name: counts[name] for name in Totals.__struct_fields__}),
        entries=entries,
    )


def _status(shards: Iterable[Sequence[Attempt]], counts: Counter[str]) -> StudyStatus:
    if not any(counts[state] for state in ("pending", "running", "interrupted")):
        return "failed" if counts["failed"] else "completed"
    if any(attempts and attempts[-1].is_open for attempts in shards):
        return "running"
    return "interrupted"


def _digest_of_result(divided: DividedFolder) -> str | None:
    """Return the digest of `study_result.json` as the merge that wrote it knew it."""
    with contextlib.suppress(StudyError):
        return read_manifest_file(divided.layout.manifest).study_result_sha256
    return None


def _starts(attempts: dict[int, list[Attempt]]) -> Iterator[Start]:
    """Yield the start of each attempt; packages are named once, as most attempts have the same."""
    seen: list[tuple[dict[str, str], int, int]] = []
    for shard, each in attempts.items():
        for attempt in each:
            starts = attempt.manifest.starts if attempt.manifest is not None else ()
            for start in starts[-1:]:
                known = next(
                    (place for packages, *place in seen if packages == start.packages), None
                )
                number = attempt.folder.number
                if known is None:
                    seen.append((start.packages, shard, number))
                    known = [shard, number]
                is_first = known == [shard, number]
                yield msgspec.structs.replace(
                    start,
                    session=number,
                    shard=shard,
                    packages_of=known[1],
                    packages_of_shard=None if known[0] == shard else known[0],
                    packages=start.packages if is_first else {},
                )
