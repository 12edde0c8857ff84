"""How a study grows: which points are new, which old ones are measured again, and in which cycles."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import msgspec

from llem_config import CyclePart, ExperimentConfig, StudyConfig
from llem_runner._analysis.gpu_kinds import GpuKind, gpu_changes
from llem_runner._errors import StudyError
from llem_runner._plan.comparability import MIN_CYCLES
from llem_runner._storage.differences import file_differences, version_differences
from llem_runner._storage.field_changes import field_changes, measurement_changes
from llem_runner._storage.layout import Layout, encode_study
from llem_runner._storage.manifest import Extension, StudyManifest, tool_versions
from llem_runner._storage.resolved_digest import digest_of_resolved
from llem_runner._study.anchors import choose_anchors, measured_points
from llem_runner._study.merged_study import merged_factors

_FREE = frozenset({"n_cycles"})


class Growth(msgspec.Struct, frozen=True):
    """A study with more points, and the record of it."""

    study: StudyConfig
    extension: Extension
    warnings: tuple[str, ...]
    """What will not be known of the larger study, and what to do."""


def grow(
    layout: Layout,
    study: StudyConfig,
    manifest: StudyManifest,
    requested: StudyConfig,
    *,
    gpus_here: Collection[GpuKind],
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
        gpus_here: the GPUs that the new runs may use; empty if they use none.
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
    measured = measured_points(layout, manifest)
    other_gpus = gpu_changes(measured.gpus, gpus_here)
    _check_comparable(layout, study, manifest, requested, tuple(new.values()), other_gpus)
    _check_numbers(n_anchors, n_cycles)
    anchors = choose_anchors(layout, study, manifest, measured.compared, n_anchors)
    grown = _grown(study, requested, new, anchors.positions, n_cycles)
    first = study.execution.n_cycles + 1
    number = len(manifest.extensions) + 1
    extension = Extension(
        first_cycle=first,
        last_cycle=first + n_cycles - 1,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        study_file=None if file_sha256 is None else layout.extension_source(number).name,
        study_file_sha256=file_sha256,
        new_points=tuple(new),
        anchors=tuple(study.config_hashes[position] for position in anchors.positions),
        is_open=True,
        study_design_hash=grown.study_design_hash,
        resolved_sha256=digest_of_resolved(encode_study(grown)),
    )
    return Growth(grown, extension, anchors.warnings)


def _check_numbers(n_anchors: int | None, n_cycles: int) -> None:
    if n_anchors is not None and n_anchors < 1:
        raise StudyError(
            f"anchors: expected at least 1, found {n_anchors}; without one, no old point connects the new "
            "points with the others"
        )
    if n_cycles < MIN_CYCLES:
        raise StudyError(
            f"cycles: expected at least {MIN_CYCLES}, found {n_cycles}; points with fewer runs are not "
            f"compared; set {MIN_CYCLES} or more for the new points, e.g. with `study extend --cycles "
            f"{MIN_CYCLES}`"
        )


def _check_comparable(
    layout: Layout,
    study: StudyConfig,
    manifest: StudyManifest,
    requested: StudyConfig,
    new: Sequence[ExperimentConfig],
    other_gpus: Sequence[str],
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
    wrong += other_gpus  # the comparison would leave their blocks out
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
