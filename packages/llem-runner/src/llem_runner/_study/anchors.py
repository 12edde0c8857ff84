"""Which old points of a study run again beside new ones, so that both can be compared."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from llem_config import StudyConfig
from llem_runner._analysis.compared_runs import ComparedRuns, runs_to_compare
from llem_runner._analysis.gpu_kinds import GpuKind
from llem_runner._analysis.headline import FIGURE_NAMES
from llem_runner._analysis.machines import gpus_of
from llem_runner._errors import StudyError
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.result_files import stored_result
from llem_runner._storage.run_facts import FactsOfRuns, MeasuredRun

_N_ANCHORS = 2
"""One anchor connects new and old points; a second one shows whether they agree."""
_MAX_NAMES = 5


class MeasuredPoints(NamedTuple):
    """What a study has measured so far."""

    compared: ComparedRuns
    gpus: Sequence[GpuKind]
    """The GPUs that each run was metered on, without runs on another kind of machine than most."""


class Anchors(NamedTuple):
    """The old points that run again."""

    positions: tuple[int, ...]
    """In the study, in ascending order."""
    warnings: tuple[str, ...]
    """What cannot be checked because there are too few of them, and what to do."""


def measured_points(layout: Layout, manifest: StudyManifest) -> MeasuredPoints:
    """Return what a study has measured so far; a damaged result is as good as none."""
    facts = FactsOfRuns()
    results: dict[int, MeasuredRun] = {}
    for entry in manifest.entries:
        if entry.status == "completed" and entry.result_file is not None:
            with contextlib.suppress(StudyError):
                results[entry.index] = facts.of(stored_result(layout.folder / entry.result_file))
    compared = runs_to_compare(manifest.entries, results)
    usual = [result for i, result in results.items() if i not in compared.machines.left_out]
    return MeasuredPoints(compared, tuple(gpu for result in usual for gpu in gpus_of(result)))


def choose_anchors(
    layout: Layout,
    study: StudyConfig,
    manifest: StudyManifest,
    compared: ComparedRuns,
    n_wanted: int | None,
) -> Anchors:
    """Return the old points that run again, and what to know of them before they do.

    Args:
        layout: of the folder.
        study: of the folder.
        manifest: of the folder.
        compared: the runs of the folder that are compared: only their points connect others.
        n_wanted: number of anchors; None: two, or all if there are fewer.

    Raises:
        StudyError: no point can connect the new points with the old ones.
    """
    if not compared.points:
        found, advice = "a result", "resume the study first"
        if any(entry.status == "completed" for entry in manifest.entries):
            found = FIGURE_NAMES[compared.figure]
            advice = "run the new points, with some of the old ones, as a study of their own"
        raise StudyError(
            f"{layout.folder} has no point with {found}, which could connect the new points with the old "
            f"ones; {advice}"
        )
    positions = anchor_positions(study, manifest, set(compared.points), n_wanted)
    warnings = _warnings(study, manifest, compared, positions, n_wanted)
    return Anchors(positions, tuple(warnings))


def anchor_positions(
    study: StudyConfig, manifest: StudyManifest, usable: Collection[str], n_wanted: int | None
) -> tuple[int, ...]:
    """Return positions of old points that are compared, spread evenly over the study.

    The choice does not depend on the results: a point that was low by chance would be higher the
    second time, and shift the new points against the old ones. Points that lack runs are left out as
    long as there are others, and points that were anchors before come last.
    """
    n_completed: Counter[str] = Counter()
    n_planned: Counter[str] = Counter()
    for entry in manifest.entries:
        n_planned[entry.config_hash] += 1
        n_completed[entry.config_hash] += entry.status == "completed"
    points = [position for position, point in enumerate(study.config_hashes) if point in usable]
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


def _warnings(
    study: StudyConfig,
    manifest: StudyManifest,
    compared: ComparedRuns,
    positions: Sequence[int],
    n_wanted: int | None,
) -> Iterator[str]:
    label_of = {entry.config_hash: entry.label for entry in manifest.entries}
    labels = {point: label_of[point] for point in study.config_hashes}
    others = [label for point, label in labels.items() if point not in compared.points]
    lack = (
        f"too few runs of {_names(others)} have {FIGURE_NAMES[compared.figure]}" if others else ""
    )
    if n_wanted is not None and len(positions) < n_wanted:
        why = lack or f"the study has {len(labels)}"
        yield f"anchors: {n_wanted} were requested, but only {len(positions)} can run again: {why}"
    if len(positions) > 1 or len(labels) == 1:  # one old point is compared in the new cycles alone
        return
    advice = "more cycles of all points, with `llem-cli study resume FOLDER --cycles N`, help"
    if lack and (n_wanted != 1 or len(compared.points) == 1):
        advice = f"{lack}; {advice}"
    (label,) = (labels[study.config_hashes[position]] for position in positions)
    yield (
        f"only one point, {label}, connects the new points with the old ones, so it cannot be checked "
        f"whether the runs of both times agree; {advice}"
    )


def _names(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MAX_NAMES} more" if len(labels) > _MAX_NAMES else ""
    return f"{', '.join(labels[:_MAX_NAMES])}{more}"
