"""The ratio of every point to the best one, and the runs that it is from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from llem_report._analysis.level_effects import interval_of
from llem_report._analysis.study_ranking import StudyRanking
from llem_report._ranking.contrasts import contrasts_of, half_widths
from llem_report._study_data.study_data import StudyData
from llem_report.records import Interval
from llem_runner.compared_values import ComparedValues, compare_values

_CHUNK = 256
"""Points compared at once; the weights of all would need the square of their number."""


class PointRatios(NamedTuple):
    """The points beside the best one."""

    by_point: Mapping[int, Interval]
    detectable: float | None
    """Ratio of two points of usual spread that can just be told from 1."""
    runs: frozenset[int] = frozenset()
    """Indices of the compared runs; empty if the ranking compares, which takes all."""


def point_ratios(
    data: StudyData, study: StudyRanking | None, compared: ComparedValues | None
) -> PointRatios:
    """Return the ratio of each point to the best one.

    Where `study_result.json` compares points, these are its ratios and intervals. Otherwise (a point with
    fewer than three runs, or one order of the points in all cycles), they are those of the ranking. All intervals hold together for all pairs of points, because
    the best one is found by looking.

    Args:
        data: the study.
        study: its ranking; None if there is none.
        compared: from `compared_points`.
    """
    if compared is not None:
        return _ratios_of_runner(data, compared)
    return PointRatios({}, None) if study is None else _ratios_of_ranking(data, study)


def compared_points(data: StudyData) -> ComparedValues | None:
    """Return the points beside the best one as `study_result.json` has them; None if it has none."""
    # Not where `data.reason` is set: it counts the meters of all runs, also of those left out.
    if data.input_changes or data.cycle_order is None:
        return None
    return compare_values(
        data.manifest.entries,
        {run.index: run.value for run in data.used_runs if run.value is not None},
        data.cycle_order,
        looks=data.manifest.looks,
        lower_is_better=data.figure.lower_is_better,
        sources=(
            {run.index: run.facts.energy_source for run in data.used_runs if run.facts is not None}
            if data.figure.is_energy
            else None
        ),
    )


def _ratios_of_runner(data: StudyData, compared: ComparedValues) -> PointRatios:
    position = {point.config_hash: i for i, point in enumerate(data.points)}
    ratios = {
        position[point]: Interval(ratio=each.ratio, ci95_low=each.low, ci95_high=each.high)
        for point, each in compared.ratios.items()
    }
    ratios[position[compared.best]] = Interval(ratio=1.0)
    return PointRatios(ratios, compared.detectable_ratio, compared.runs)


def _ratios_of_ranking(data: StudyData, study: StudyRanking) -> PointRatios:
    import numpy as np

    fit, errors = study.ranking.fit, study.ranking.errors
    largest = int(Counter(fit.part.tolist()).most_common(1)[0][0])
    connected = np.flatnonzero(fit.part == largest)
    sign = 1 if data.figure.lower_is_better else -1
    best = int(connected[(sign * fit.means[connected]).argmin()])
    others = connected[connected != best]
    n_pairs = max(len(connected) * (len(connected) - 1) // 2, 1)
    found = {int(study.points[best]): Interval(ratio=1.0)}
    widths: list[float] = []
    for start in range(0, len(others), _CHUNK):
        part = others[start : start + _CHUNK]
        half = np.full(len(part), np.nan)
        if errors is not None:
            weights = np.zeros((len(part), len(fit.means)))
            weights[np.arange(len(part)), part] = 1.0
            weights[:, best] = -1.0
            half = half_widths(contrasts_of(fit, errors, weights), n_pairs, study.ranking.alpha)
            widths += half.tolist()
        for i, difference, width in zip(
            part.tolist(), (fit.means[part] - fit.means[best]).tolist(), half.tolist(), strict=True
        ):
            found[int(study.points[i])] = interval_of(difference, width)
    detectable = interval_of(float(np.median(widths)), math.nan).ratio if widths else None
    return PointRatios(found, detectable)
