"""The effect of each factor in two studies, side by side: did the ranking change?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llem_report._analysis.analyse import analyse
from llem_report._errors import ReportError
from llem_report.comparison_records import FactorComparison
from llem_report.records import Analysis, FactorEffect, Interval


def compare_factors(
    base: Path, new: Path, figure: str, *, same_points: bool
) -> tuple[FactorComparison, ...]:
    """Return the factors that both studies have, in the order of the new study's ranking.

    Args:
        base: folder of the earlier study.
        new: folder of the later study.
        figure: name of the compared figure.
        same_points: whether all points of both studies are paired. An effect is a mean over the
            points of its study, so with other points it differs without a change.

    Returns:
        Nothing if a study has no factors, such as a study of one point.
    """
    try:
        old, later = analyse(base, figure), analyse(new, figure)
    except ReportError:  # no run has the figure in a form that can be ranked
        return ()
    effects = {factor.key: factor for factor in old.factors}
    return tuple(
        _compared(effects[factor.key], factor, old, later, same_points=same_points)
        for factor in later.factors
        if factor.key in effects
    )


def _compared(
    before: FactorEffect, after: FactorEffect, old: Analysis, new: Analysis, *, same_points: bool
) -> FactorComparison:
    return FactorComparison(
        key=after.key,
        base=before.effect,
        new=after.effect,
        base_rank=_rank(before),
        new_rank=_rank(after),
        base_best=before.best,
        new_best=after.best,
        changed=_is_changed(after.key, old, new) if same_points else None,
    )


def _rank(factor: FactorEffect) -> tuple[int, int] | None:
    if factor.rank_low is None or factor.rank_high is None:
        return None
    return factor.rank_low, factor.rank_high


def _is_changed(key: str, old: Analysis, new: Analysis) -> bool | None:
    """Return whether the ratio of two levels changed; None if no ratio has an interval in both."""
    apart = [
        low > other_high or high < other_low
        for (low, high), (other_low, other_high) in _pairs(key, old, new)
    ]
    return any(apart) if apart else None


def _pairs(
    key: str, old: Analysis, new: Analysis
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Yield the intervals of the ratio of two levels in both studies."""
    before = {(pair.a, pair.b): pair.ratio for pair in old.level_pairs if pair.factor == key}
    for pair in new.level_pairs:
        if pair.factor != key:
            continue
        ends = _ends(pair.ratio)
        earlier = _ends(before.get((pair.a, pair.b)))
        if earlier is None and (inverse := _ends(before.get((pair.b, pair.a)))) is not None:
            earlier = 1 / inverse[1], 1 / inverse[0]
        if ends is not None and earlier is not None:
            yield ends, earlier


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    if interval is None or interval.ci95_low is None or interval.ci95_high is None:
        return None
    return interval.ci95_low, interval.ci95_high
