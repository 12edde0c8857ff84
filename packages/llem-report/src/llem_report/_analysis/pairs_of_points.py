"""The intervals of a choice whose levels are single points are those of the points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llem_report._ranking.effects import Pairs, range_of, rank_sets
from llem_report._ranking.ranking import Ranking
from llem_runner.compared_values import ComparedValues

if TYPE_CHECKING:
    from llem_report._ranking.designs import Design

_MAX_LEVELS = 64
"""The number of pairs grows with its square."""


def levels_are_points(design: Design) -> bool:
    """Return whether there is one choice, of which every level is one point."""
    import numpy as np

    if len(design.keys) != 1:
        return False
    levels = design.levels[:, 0]
    return (
        len(levels) <= _MAX_LEVELS
        and bool((levels >= 0).all())
        and len(np.unique(levels)) == len(levels)
    )


def with_intervals_of_points(
    ranking: Ranking, design: Design, hashes: Sequence[str], compared: ComparedValues
) -> Ranking:
    """Return a ranking in which two levels have the interval of their two points.

    Otherwise a page would state two intervals for one ratio.

    Args:
        ranking: of a design for which `levels_are_points` holds.
        design: the level of each point.
        hashes: of the points.
        compared: the points beside the best one; all of `hashes` are compared.
    """
    import numpy as np

    point_of = dict(zip(design.levels[:, 0].tolist(), hashes, strict=True))
    (pairs,) = ranking.pairs
    half = [
        compared.half_width(point_of[a], point_of[b])
        for a, b in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)
    ]
    own = np.array(half, dtype=np.float64)
    changed: list[Pairs] = [pairs._replace(half_width=own)]
    ranges = [range_of(each) for each in changed]
    return ranking._replace(pairs=changed, ranges=ranges, ranks=rank_sets(ranges))
