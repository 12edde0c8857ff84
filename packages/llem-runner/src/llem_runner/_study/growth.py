"""How a study grows: which points are new, which old ones are measured again, and in which cycles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from llem_config import CyclePart, ExperimentConfig, StudyConfig
from llem_runner._errors import StudyError
from llem_runner._plan.comparability import MIN_CYCLES
from llem_runner._storage.differences import file_differences, version_differences
from llem_runner._storage.field_changes import field_changes, measurement_changes
from llem_runner._storage.layout import Layout, encode_study
from llem_runner._storage.manifest import Extension, StudyManifest, tool_versions
from llem_runner._storage.resolved_digest import digest_of_resolved
from llem_runner._study.merged_study import merged_factors

_FREE = frozenset({"n_cycles"})
_N_ANCHORS = 2
"""One anchor connects new and old points; a second one shows whether they agree."""


class Growth(msgspec.Struct, frozen=True):
    """A study with more points, and the record of it."""

    study: StudyConfig
    extension: Extension


def grow(
    layout: Layout,
    study: StudyConfig,
    manifest: StudyManifest,
    requested: StudyConfig,
    *,
    n_anchors: int | None,
    n_cycles: int,
    file_sha256: str | None,
) -> Growth:
    """Return the study with the points of another one that it lacks.

    Args:
        layout: of the folder.
        study: of the folder.
        manifest: of the folder.
        requested: has the new points; it may have the old ones too.
        n_anchors: number of old points that are measured again; None: two, or all if there are fewer.
        n_cycles: number of cycles of the new points.
        file_sha256: of the study file of `requested`; None: there is none.

    Raises:
        StudyError: it has no new point, or its runs would not be comparable.
    """
    known = set(study.config_hashes)
    hashes = requested.config_hashes
    new = {
        h: point for h, point in zip(hashes, requested.experiments, strict=True) if h not in known
    }
    if not new:
        raise StudyError(
            f"{layout.folder} has all {len(hashes)} points of the study file already: expected at least one "
            "new point; add a level or a point to the file, or add cycles with `llem-cli study resume "
            "--cycles N`"
        )
    _check_comparable(layout, study, manifest, requested, tuple(new.values()))
    _check_numbers(n_anchors, n_cycles)
    anchors = _anchors(study, manifest, n_anchors)
    if not anchors:
        raise StudyError(
            f"{layout.folder} has no point with a result, which could connect the new points with the old "
            "ones; resume the study first"
        )
    grown = _grown(study, requested, new, anchors, n_cycles)
    first = study.execution.n_cycles + 1
    number = len(manifest.extensions) + 1
    extension = Extension(
        first_cycle=first,
        last_cycle=first + n_cycles - 1,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        study_file=None if file_sha256 is None else layout.extension_source(number).name,
        study_file_sha256=file_sha256,
        new_points=tuple(new),
        anchors=tuple(study.config_hashes[position] for position in anchors),
        is_open=True,
        study_design_hash=grown.study_design_hash,
        resolved_sha256=digest_of_resolved(encode_study(grown)),
    )
    return Growth(grown, extension)


def _check_numbers(n_anchors: int | None, n_cycles: int) -> None:
    if n_anchors is not None and n_anchors < 1:
        raise StudyError(
            f"anchors: expected at least 1, found {n_anchors}; without one, no old point connects the new "
            "points with the others"
        )
    if n_cycles < MIN_CYCLES:
        raise StudyError(
            f"cycles: expected at least {MIN_CYCLES}, found {n_cycles}; points with fewer runs are not "
            "compared"
        )


def _check_comparable(
    layout: Layout,
    study: StudyConfig,
    manifest: StudyManifest,
    requested: StudyConfig,
    new: Sequence[ExperimentConfig],
) -> None:
    """Return if new runs would be comparable with those of the folder.

    Raises:
        StudyError: they would not be; the message names each field.
    """
    old, other = study.execution.model_dump(), requested.execution.model_dump()
    wrong = [
        f"execution.{name} {old[name]} -> {value}"
        for name, value in other.items()
        if name not in _FREE and value is not None and value != old[name]
    ]
    wrong += measurement_changes(study.experiments, new)
    wrong += version_differences(manifest.versions, tool_versions())
    wrong += file_differences(study, manifest.directory)
    if wrong:
        fine = [
            line
            for line in field_changes(study.experiments, new, removed=False)
            if line not in wrong
        ]
        also = f" (new, and no obstacle: {'; '.join(fine)})" if fine else ""
        raise StudyError(
            f"{layout.folder} cannot be extended, because new runs would not be comparable: "
            f"{'; '.join(wrong)}{also}; use what the folder has, or run the file as a study of its own and "
            "compare both with `llem-cli study compare`"
        )


def _anchors(study: StudyConfig, manifest: StudyManifest, n_wanted: int | None) -> tuple[int, ...]:
    """Return positions of old points with results, spread evenly over the study.

    The choice does not depend on the results: a point that was low by chance would be higher the
    second time, and shift the new points against the old ones. Points that lack runs are left out as
    long as there are others, and points that were anchors before come last.
    """
    n_completed: Counter[str] = Counter()
    n_planned: Counter[str] = Counter()
    for entry in manifest.entries:
        n_planned[entry.config_hash] += 1
        n_completed[entry.config_hash] += entry.status == "completed"
    points = [position for position, point in enumerate(study.config_hashes) if n_completed[point]]
    n = min(_N_ANCHORS if n_wanted is None else n_wanted, len(points))
    # A point whose runs have failed may have none in a cycle with other points, and connect nothing.
    lacking = {p: n_planned[h] - n_completed[h] for p, h in enumerate(study.config_hashes)}
    most = sorted(lacking[p] for p in points)[n - 1 : n]
    points = [p for p in points if lacking[p] <= most[0]]
    fewest = min((n_planned[study.config_hashes[p]] for p in points), default=0)
    fresh = [p for p in points if n_planned[study.config_hashes[p]] == fewest]
    used = [p for p in points if p not in fresh]
    chosen = _spread(fresh, min(n, len(fresh)))
    return tuple(sorted([*chosen, *_spread(used, n - len(chosen))]))


def _spread(points: Sequence[int], n: int) -> list[int]:
    """Return `n` of some points: the first, the last and others between them."""
    if n <= 1:
        return [*points[:n]]
    return [points[round(i * (len(points) - 1) / (n - 1))] for i in range(n)]


def _grown(
    study: StudyConfig,
    requested: StudyConfig,
    new: dict[str, ExperimentConfig],
    anchors: Sequence[int],
    n_cycles: int,
) -> StudyConfig:
    n_old, before = len(study.experiments), study.execution.n_cycles
    parts = list(study.parts)
    if not parts or parts[-1].last_cycle < before:  # all points ran in the last cycles
        parts.append(CyclePart(last_cycle=before, points=tuple(range(n_old))))
    positions = (*anchors, *range(n_old, n_old + len(new)))
    parts.append(CyclePart(last_cycle=before + n_cycles, points=positions))
    added = requested.model_copy(update={"experiments": tuple(new.values())})
    factors, levels = merged_factors((study, added))
    return StudyConfig(
        name=study.name,
        experiments=(*study.experiments, *new.values()),
        execution=study.execution.model_copy(update={"n_cycles": before + n_cycles}),
        skipped=(
            *study.skipped,
            *(each for each in requested.skipped if each not in study.skipped),
        ),
        n_duplicates=study.n_duplicates,
        n_excluded=study.n_excluded,
        factors=factors,
        levels=levels,
        parts=tuple(parts),
    )
