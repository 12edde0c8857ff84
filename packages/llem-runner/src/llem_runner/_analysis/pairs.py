"""Compare two programs, or two points, that ran in turn: the ratio of a figure and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from llem_runner._analysis.complete_blocks import compare_complete_blocks
from llem_runner._analysis.statistics import MIN_RUNS_FOR_INTERVAL


class PairRatio(msgspec.Struct, frozen=True, kw_only=True):
    """The first of two divided by the second."""

    ratio: float
    """Of the geometric means."""
    ci95_low: float
    ci95_high: float
    n_pairs: int
    distinguishable: bool
    """Whether the interval excludes 1; if not, the two cannot be told apart."""


def ratio_of_pairs(first: Sequence[float], second: Sequence[float]) -> PairRatio | None:
    """Return the ratio of two that ran once each in every pair, with its 95 % interval.

    An effect that changes both runs of a pair alike has no influence, such as a machine that warms
    up. Within a pair, let each come first in half of the pairs: a drift then widens the interval and
    does not shift it.

    Args:
        first: its figure in each pair, in any unit.
        second: in the same pairs, in the same unit.

    Returns:
        None for fewer than three pairs, or if a figure is not positive.
    """
    pairs = list(zip(first, second, strict=True))
    if len(pairs) < MIN_RUNS_FOR_INTERVAL or min(*first, *second) <= 0:
        return None
    fit = compare_complete_blocks(pairs)
    difference, half_width = fit.means[0] - fit.means[1], fit.half_width(0, 1)
    return PairRatio(
        ratio=math.exp(difference),
        ci95_low=math.exp(difference - half_width),
        ci95_high=math.exp(difference + half_width),
        n_pairs=len(pairs),
        distinguishable=abs(difference) > half_width,
    )
