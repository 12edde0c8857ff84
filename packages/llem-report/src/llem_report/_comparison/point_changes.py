"""How each point changed from one study to another."""

from __future__ import annotations

from collections.abc import Sequence

from llem_report._comparison.pairing import Pair
from llem_report._comparison.sides import Side
from llem_report._comparison.verdict import Rule, judge
from llem_report._comparison.welch import Difference, Part, difference, simultaneous
from llem_report.comparison_records import PointComparison
from llem_report.records import Interval
from llem_runner.repeats import bounded_exp


def compare_points(
    old: Side,
    later: Side,
    pairs: Sequence[Pair],
    rule: Rule,
    n_comparisons: int,
) -> tuple[PointComparison, ...]:
    """Return the ratio of each point, with intervals that hold simultaneously.

    Args:
        old: the base.
        later: the new study.
        pairs: of points of both.
        rule: when a difference counts.
        n_comparisons: number of comparisons that are made with this base.
    """
    identical = old.identities == later.identities
    level = simultaneous(len(pairs) * n_comparisons)
    points = []
    for pair in pairs:
        runs, earlier = later.values[pair.new], old.values[pair.base]
        if identical:
            change = relative = Difference(0.0, 0.0)
        else:
            change = _between(tuple(runs.values()), tuple(earlier.values()), level)
            relative = _between(
                later.cycles.deviations(pair.new), old.cycles.deviations(pair.base), level
            )
        points.append(
            PointComparison(
                config_hash=pair.new,
                label=later.study.labels[pair.new],
                n_base=len(earlier),
                n_new=len(runs),
                ratio=interval_of(change),
                ratio_to_overall=interval_of(relative),
                verdict=judge(change, rule).verdict,
            )
        )
    return tuple(points)


def _between(new: tuple[float, ...], base: tuple[float, ...], level: float) -> Difference:
    if not new or not base:
        return Difference(0.0, None)
    return difference((Part(1.0, new),), (Part(1.0, base),), level, whole_df=True)


def interval_of(change: Difference) -> Interval:
    """Return a difference of logarithms as a ratio."""
    if change.half_width is None:
        return Interval(ratio=bounded_exp(change.value))
    return Interval(
        ratio=bounded_exp(change.value),
        ci95_low=bounded_exp(change.low),
        ci95_high=bounded_exp(change.high),
    )
