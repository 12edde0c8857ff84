"""Statistics of run means: intervals, autocorrelation, outliers, and points compared in blocks.

Everything works on the logarithms of positive figures (joules per token, tokens per second), so
means are geometric, differences are ratios, and nothing here depends on the unit. The unit of
repetition is a run: steps within one run are correlated and are no repeats.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from llem_runner._analysis.quantiles import range_quantile, t_quantile

_ROUNDING = 1e-12  # logarithms that differ by less are the same figure, differently rounded
_LEAST_FOR_LAG1 = 4


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of n >= 1 positive values."""
    return math.exp(statistics.fmean(map(math.log, values)))


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the geometric mean of a point's runs.

    Student's t on the logarithms. For a spread of a few per cent the geometric mean is the mean;
    for a large one the interval stays positive, as the figure does.

    Args:
        values: one figure of each run, in any unit.

    Returns:
        Lower and upper end in the unit of the values; None for n < 2, or if a value is not
        positive.
    """
    if len(values) < 2 or min(values) <= 0:
        return None
    if min(values) == max(values):
        return values[0], values[0]  # exactly, where the logarithm and back would round
    logs = [math.log(value) for value in values]
    centre = statistics.fmean(logs)
    half = t_quantile(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(centre - half), math.exp(centre + half)


def lag1(values: Sequence[float]) -> float | None:
    """Return the lag-1 autocorrelation of a point's runs in the order in which they ran.

    Where it is above 0 the runs drift together, and intervals that take them for independent are
    too narrow: at 0.3, 0.6 and 0.8 an interval of ten runs holds the truth 87, 69 and 47 times in
    a hundred instead of 95. Independent runs give -1/n on average, within 2/sqrt(n) of 0.

    Returns:
        -1 to 1; None for n < 4, or if all values are equal.
    """
    if len(values) < _LEAST_FOR_LAG1:
        return None
    mean = statistics.fmean(values)
    apart = [value - mean for value in values]
    variance = math.fsum(a * a for a in apart)
    if max(map(abs, apart)) <= _ROUNDING * abs(mean):
        return None
    return math.fsum(a * b for a, b in pairwise(apart)) / variance


def runs_needed(cv: float, half_width: float, most: int = 1000) -> int | None:
    """Return the runs of a point after which its 95 % interval is as narrow as wanted.

    Args:
        cv: standard deviation of its runs over their mean.
        half_width: wanted, as a share of the mean.
        most: give up beyond it.

    Returns:
        n >= 2 by Student's t, or None for more than `most`.
    """
    # The normal distribution asks for a little fewer than t does: a start a few steps below.
    start = math.ceil((statistics.NormalDist().inv_cdf(0.975) * cv / half_width) ** 2)
    for n in range(max(2, start), most + 1):
        if t_quantile(0.975, n - 1) * cv / math.sqrt(n) <= half_width:
            return n
    return None


def outliers(values: Sequence[float]) -> tuple[int, ...]:
    """Return the positions of runs that are too far from the other runs of their point.

    Grubbs' two-sided test at 5 %, in its form for each run against the others: the distance of
    its logarithm from their mean is beyond Student's t at 0.05/n. So one point in twenty without
    any trouble has a flagged run; three runs can hardly flag one, and two strays hide each other.

    Source: Grubbs, Procedures for Detecting Outlying Observations in Samples, Technometrics 11
    (1969). Rules by the median absolute deviation flag far more of so few runs.
    """
    n = len(values)
    if n < 3 or min(values) <= 0:
        return ()
    logs = [math.log(value) for value in values]
    limit = t_quantile(1 - 0.05 / (2 * n), n - 2)
    found = []
    for i, value in enumerate(logs):
        others = logs[:i] + logs[i + 1 :]
        error = max(statistics.stdev(others), _ROUNDING) * math.sqrt(n / (n - 1))
        if abs(value - statistics.fmean(others)) > limit * error:
            found.append(i)
    return tuple(found)


class BlockFit(msgspec.Struct, frozen=True):
    """What is left of the points once the cycles are taken out. All figures are logarithms."""

    means: tuple[float, ...]
    """Of each point over the blocks."""
    residual_sd: float
    """Spread of a run around its point and its cycle; about the coefficient of variation."""
    df: int
    """Degrees of freedom of `residual_sd`: (points - 1) * (blocks - 1)."""
    half_width: float
    """Of the simultaneous 95 % intervals of the differences of all pairs of points."""


def fit_blocks(blocks: Sequence[Sequence[float]]) -> BlockFit:
    """Compare points that ran once in every block.

    Additive model of point and block: what slows or warms the whole machine for a cycle hits all
    its points alike and leaves the differences alone. It takes the order within a block to be
    random, and the relative spread to be the same for all points.

    The intervals hold all at once for all pairs, by Tukey's studentised range. A correction for
    comparing every point with one reference would be narrower, but would not hold here: the
    reference is the best point, picked after the fact, so every pair had its chance.

    Args:
        blocks: n >= 2 rows, each with one positive figure per point, n >= 2, in the same order.

    Source: Tukey's method for randomised complete blocks, as in any book on designed experiments.
    """
    logs = [[math.log(value) for value in block] for block in blocks]
    n_blocks, n_points = len(logs), len(logs[0])
    means = [statistics.fmean(column) for column in zip(*logs, strict=True)]
    overall = statistics.fmean(means)
    squares = 0.0
    for block in logs:
        shift = statistics.fmean(block) - overall
        squares += math.fsum((x - m - shift) ** 2 for x, m in zip(block, means, strict=True))
    df = (n_points - 1) * (n_blocks - 1)
    sd = max(math.sqrt(squares / df), _ROUNDING)
    half = range_quantile(0.95, n_points, df) * sd / math.sqrt(n_blocks)
    return BlockFit(means=tuple(means), residual_sd=sd, df=df, half_width=half)
