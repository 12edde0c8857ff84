"""From the table of a study to its ranking: which runs take part, and what their order allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from llem_report._analysis.pairs_of_points import (
    levels_are_points,
    with_intervals_of_points,
)
from llem_report._ranking.conditions import PlacedRun, drift_caveats, error_source
from llem_report._ranking.designs import Design, nesting
from llem_report._ranking.ranking import Ranking, rank_factors
from llem_report._study_data.study_data import StudyData
from llem_runner.compared_values import ComparedValues
from llem_runner.records import alpha_after, caveat_of_looks, caveat_of_unfinished

if TYPE_CHECKING:
    from llem_report._ranking.designs import Ints

_MIN_CYCLES = 1
"""A ranking can have intervals from a single cycle on, so every earlier result counts as a look."""
_NO_DF = "too few runs were repeated to know how much a run varies; run more cycles"
_FROM_ONE_CYCLE = (
    "the errors come from one cycle: three-way interactions and beyond are taken for noise"
)


class StudyRanking(NamedTuple):
    """A ranking with the points that it is of."""

    points: Ints
    """Shape (P,): position in `StudyData.points` of each point with the figure."""
    design: Design
    """Of these points."""
    ranking: Ranking
    reason: str | None
    """Why there are no intervals, and so no ranks; None if there are."""
    caveats: tuple[str, ...]
    alpha: float
    """Share of studies in which an interval of a pair of levels may be wrong."""
    is_of_points: bool
    """Whether the levels of the only choice are points, and have their intervals."""


def rank_study(data: StudyData, compared: ComparedValues | None = None) -> StudyRanking | str:
    """Return the ranking of the factors of a study, or why nothing can be compared.

    Args:
        data: the study.
        compared: its points beside the best one; None if they cannot be compared.
    """
    used = data.used_runs
    name = data.figure.name
    if not used:
        if not any(run.status == "completed" for run in data.runs):
            return "no run has completed"
        if any(run.other_machine is not None and run.value is not None for run in data.runs):
            return f"only runs on another kind of machine than most have {name}"
        return f"no run has {name}"
    if data.reason is not None:
        return data.reason
    if len({run.point for run in used}) < 2:
        which = "the study has only one point" if len(data.points) == 1 else "only one point has"
        return which if len(data.points) == 1 else f"{which} {name}"
    if not data.factors:
        return "; ".join(["the points differ in no choice", *(d.reason for d in data.dropped)])
    return _rank(data, compared)


def _rank(data: StudyData, compared: ComparedValues | None) -> StudyRanking:
    import numpy as np

    used = data.used_runs
    points, point = np.unique([run.point for run in used], return_inverse=True)
    number = {block: n for n, block in enumerate(sorted({run.block for run in used}))}
    block = np.array([number[run.block] for run in used])
    values = np.log([run.value for run in used if run.value is not None])
    levels = [
        [-1 if level is None else level for level in data.points[p].levels] for p in points.tolist()
    ]
    design = Design(
        tuple(factor.key for factor in data.factors),
        tuple(factor.levels for factor in data.factors),
        np.array(levels, dtype=np.int64),
    )
    in_order = sorted(range(len(used)), key=lambda i: (used[i].started_at or "", used[i].index))
    position = {i: place for place, i in enumerate(in_order)}
    placed = [
        PlacedRun(p, b, position[i])
        for i, (p, b) in enumerate(zip(point.tolist(), block.tolist(), strict=True))
    ]
    order = data.cycle_order or "unknown"
    source, reason = error_source(placed, order, design, nesting(design))
    looks = data.manifest.looks
    alpha = alpha_after(looks, _MIN_CYCLES)
    caveat = caveat_of_looks(looks, _MIN_CYCLES)
    if caveat is not None and compared is not None:
        caveat = f"for the levels of choices: {caveat}"  # points have fewer looks
    ranking = rank_factors(values, point, block, design, source, alpha)
    hashes = [data.points[p].config_hash for p in points.tolist()]
    is_of_points = (
        compared is not None
        and ranking.errors is not None
        and set(hashes) <= set(compared.points)
        and levels_are_points(design)
    )
    if is_of_points and compared is not None:
        ranking = with_intervals_of_points(ranking, design, hashes, compared)
        # Points are compared from more cycles on, so fewer earlier results were looks.
        alpha, caveat = alpha_after(looks), caveat_of_looks(looks)
    if reason is None and ranking.errors is None:
        reason = _NO_DF
    caveats = list(drift_caveats(ranking.fit, in_order)) if source == "runs" else []
    if ranking.errors is not None and ranking.errors.kind == "interactions":
        caveats.append(_FROM_ONE_CYCLE)
    if ranking.errors is not None:
        completed = {run.index for run in data.runs if run.facts is not None}
        sentences = (
            caveat,
            caveat_of_unfinished(data.manifest.entries, completed),
        )
        caveats += [sentence for sentence in sentences if sentence is not None]
    return StudyRanking(points, design, ranking, reason, tuple(caveats), alpha, is_of_points)
