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

from llem_runner._errors import StudyError
from llem_runner._provenance.start import Start
from llem_runner._storage.attempts import Attempt, check_study_of, read_attempts
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_records import PlanFile
from llem_runner._storage.manifest import (
    ManifestEntry,
    StudyManifest,
    StudyStatus,
    Totals,
    read_manifest_file,
)
from llem_runner._storage.run_facts import FactsOfRuns, RunFacts
from llem_runner._storage.shard_entries import ShardMerge


class MergedRuns(NamedTuple):
    """The runs of a divided study."""

    manifest: StudyManifest
    results: dict[int, RunFacts]
    """By index, those that were read."""
    attempts: dict[int, list[Attempt]]
    """By the number of their shard."""


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
    results: dict[int, RunFacts] = {}
    facts = FactsOfRuns() if read_results else None
    attempts: dict[int, list[Attempt]] = {}
    n_superseded = 0
    for shard in plan.shards:
        attempts[shard.number] = read_attempts(divided, shard.number)
        check_study_of(attempts[shard.number], plan.design_hash(shard.cycle))
        merge = ShardMerge(plan, shard, attempts[shard.number], facts)
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
        study_design_hash=plan.design_hash(),
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
        looks=plan.looks,
        extensions=plan.extensions,
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
