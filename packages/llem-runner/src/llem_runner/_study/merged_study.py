"""The study and the manifest of a merged folder, from those of its shards; nothing is read or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import msgspec

from llem_config import Factor, StudyConfig
from llem_runner._provenance.start import Start
from llem_runner._storage.manifest import ManifestEntry, StudyManifest, StudyStatus, Totals
from llem_runner._study.shards import Shard

_Row = tuple[int | None, ...]
_Value = TypeVar("_Value")

_WORST_FIRST: tuple[StudyStatus, ...] = ("aborted", "interrupted", "failed", "completed")


def merged_study(shards: Sequence[Shard]) -> StudyConfig:
    """Return the study of all points; its cycles are those of all shards that have the same point."""
    n_cycles: Counter[str] = Counter()
    for shard in shards:
        blocks = {(entry.config_hash, entry.shard, entry.cycle) for entry in shard.manifest.entries}
        n_cycles.update(config_hash for config_hash, _, _ in blocks)
    different = {shard.study.study_design_hash: shard.study for shard in shards}
    first, *others = different.values()
    execution = first.execution.model_copy(update={"n_cycles": max(n_cycles.values(), default=1)})
    if not others:
        return first.model_copy(update={"execution": execution})
    factors, levels = merged_factors((first, *others))
    return StudyConfig(
        name=first.name,
        experiments=tuple(chain(*(study.experiments for study in (first, *others)))),
        execution=execution,
        skipped=tuple(chain(*(study.skipped for study in (first, *others)))),
        n_duplicates=sum(study.n_duplicates for study in (first, *others)),
        n_excluded=sum(study.n_excluded for study in (first, *others)),
        factors=factors,
        levels=levels,
    )


def merged_factors(
    studies: Sequence[StudyConfig],
) -> tuple[tuple[Factor, ...], tuple[_Row, ...]]:
    """Return the factors of several sweeps; none if they have different axes."""
    first = studies[0].factors
    if len({tuple(factor.key for factor in study.factors) for study in studies}) > 1 or not first:
        return (), ()
    columns = list(zip(*(study.factors for study in studies), strict=True))
    factors = tuple(
        Factor(
            key=column[0].key,
            levels=tuple(dict.fromkeys(chain(*(factor.levels for factor in column)))),
            numeric=all(factor.numeric for factor in column),
        )
        for column in columns
    )
    rows = [
        tuple(
            None if level is None else merged.levels.index(factor.levels[level])
            for level, factor, merged in zip(row, study.factors, factors, strict=True)
        )
        for study in studies
        for row in study.levels
    ]
    return factors, tuple(rows)


def merged_entries(shards: Sequence[Shard]) -> list[tuple[Shard, ManifestEntry, ManifestEntry]]:
    """Return each shard, entry and new entry; indices, shards and cycles are numbered on.

    The runs of a cycle are those of one shard, so a cycle stays runs that share a machine and a
    stretch of time.
    """
    merged: list[tuple[Shard, ManifestEntry, ManifestEntry]] = []
    shard_numbers: dict[tuple[int, int | None], int] = {}
    cycle_numbers: dict[tuple[int, int], int] = {}
    for position, shard in enumerate(shards):
        # The entries of one shard may be in another order than its cycles.
        for entry in sorted(shard.manifest.entries, key=lambda entry: entry.cycle):
            number = shard_numbers.setdefault((position, entry.shard), len(shard_numbers) + 1)
            cycle_numbers.setdefault((number, entry.cycle), len(cycle_numbers) + 1)
    for position, shard in enumerate(shards):
        for entry in sorted(shard.manifest.entries, key=lambda entry: entry.index):
            number = shard_numbers[position, entry.shard]
            new = msgspec.structs.replace(
                entry,
                index=len(merged) + 1,
                cycle=cycle_numbers[number, entry.cycle],
                shard=number,
                # The process of the study was killed during this run.
                status="interrupted" if entry.status == "running" else entry.status,
            )
            merged.append((shard, entry, new))
    return merged


def merged_manifest(
    shards: Sequence[Shard],
    study: StudyConfig,
    entries: Sequence[ManifestEntry],
    *,
    input_changes: Iterable[str],
) -> StudyManifest:
    """Return the manifest of a merged study, without the digests of its files."""
    manifests = [shard.manifest for shard in shards]
    counts: Counter[str] = Counter(entry.status for entry in entries)
    names = chain(*(shard.manifest.shards or (shard.folder.resolve().name,) for shard in shards))
    ends = [manifest.ended_at for manifest in manifests]
    changes = chain(*(manifest.input_changes for manifest in manifests), input_changes)
    return msgspec.structs.replace(
        manifests[0],
        schema_version=3,
        study_name=study.name,
        study_design_hash=study.study_design_hash,
        host=", ".join(dict.fromkeys(manifest.host for manifest in manifests)),
        status=_status(manifests, counts),
        started_at=min(manifest.started_at for manifest in manifests),
        ended_at=None if None in ends else max(end for end in ends if end is not None),
        directory=_common(manifest.directory for manifest in manifests),
        overrides=_common(manifest.overrides for manifest in manifests),
        study_result_sha256=None,
        input_changes=tuple(dict.fromkeys(changes)),
        looks=tuple(chain(*(manifest.looks for manifest in manifests))),
        first_temperatures_c=_first_temperatures(manifests),
        shards=tuple(names),
        starts=tuple(_starts(manifests)),
        totals=Totals(**{name: counts[name] for name in Totals.__struct_fields__}),
        entries=tuple(entries),
    )


def _starts(manifests: Iterable[StudyManifest]) -> Iterator[Start]:
    """Yield the starts of all shards, each with the number of its shard."""
    n_before = 0
    for manifest in manifests:
        for start in manifest.starts:
            yield msgspec.structs.replace(start, shard=n_before + (start.shard or 1))
        n_before += len(manifest.shards) or 1


def _status(manifests: Sequence[StudyManifest], counts: Mapping[str, int]) -> StudyStatus:
    statuses: set[StudyStatus] = {
        "interrupted" if manifest.status == "running" else manifest.status for manifest in manifests
    }
    worst = next(status for status in _WORST_FIRST if status in statuses)
    # A result that cannot be read counts as failed in the merged study only.
    return "failed" if worst == "completed" and counts["failed"] else worst


def _common(values: Iterable[_Value | None]) -> _Value | None:
    """Return the value that all have; None if they differ."""
    first, *others = values
    return first if all(other == first for other in others) else None


def _first_temperatures(manifests: Iterable[StudyManifest]) -> dict[str, float] | None:
    merged: dict[str, Any] = {}
    for manifest in manifests:
        merged = (manifest.first_temperatures_c or {}) | merged
    return merged or None
