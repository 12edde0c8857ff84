"""Statistics of run means: intervals, autocorrelation, outliers, and comparison in blocks.

All functions work on the logarithms of positive figures (joules per token, tokens per second), so
means are geometric, differences are ratios, and no result depends on the unit. The unit of
repetition is a run: steps within a run are correlated, so they are not repeats.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from llem_runner._analysis.quantiles import range_quantile, t_quantile

_ROUNDING = 1e-12  # logarithms that differ by less differ only by rounding
_MIN_RUNS_FOR_LAG1 = 4


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of n >= 1 positive values."""
    return math.exp(statistics.fmean(map(math.log, values)))


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the geometric mean of a point's runs.

    Student's t on the logarithms. If the spread is a few per cent, the geometric mean is close to
    the arithmetic mean; if it is large, the interval still stays positive.

    Args:
        values: the figure of every run, in any unit.

    Returns:
        Lower and upper end in the unit of the values; None for n < 2, or if a value is not
        positive.
    """
    if len(values) < 2 or min(values) <= 0:
        return None
    if min(values) == max(values):
        return values[0], values[0]  # exact; the logarithm and back would round
    logs = [math.log(value) for value in values]
    centre = statistics.fmean(logs)
    half = t_quantile(0.975, len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(centre - half), math.exp(centre + half)


def lag1(values: Sequence[float]) -> float | None:
    """Return the lag-1 autocorrelation of a point's runs in the order in which they ran.

    A value above 0 means that the runs drift, and that intervals which assume independent runs are
    too narrow: at 0.3, 0.6 and 0.8, a 95 % interval of ten runs contains the true value in 87, 69
    and 47 % of cases. Independent runs give -1/n on average, within 2/sqrt(n) of 0.

    Returns:
        -1 to 1; None for n < 4, or if all values are equal.
    """
    if len(values) < _MIN_RUNS_FOR_LAG1:
        return None
    mean = statistics.fmean(values)
    deviations = [value - mean for value in values]
    if max(map(abs, deviations)) <= _ROUNDING * abs(mean):
        return None
    sum_of_squares = math.fsum(d * d for d in deviations)
    return math.fsum(a * b for a, b in pairwise(deviations)) / sum_of_squares


def runs_needed(cv: float, half_width: float, max_runs: int = 1000) -> int | None:
    """Return how many runs a point needs for a 95 % interval of the wanted width.

    Args:
        cv: coefficient of variation of its runs (standard deviation over mean).
        half_width: the wanted half-width, as a share of the mean.
        max_runs: the largest number to consider.

    Returns:
        n >= 2 by Student's t, or None if more than `max_runs` are needed.
    """
    # The normal distribution needs a few runs less than t, so start the search there.
    start = math.ceil((statistics.NormalDist().inv_cdf(0.975) * cv / half_width) ** 2)
    for n in range(max(2, start), max_runs + 1):
        if t_quantile(0.975, n - 1) * cv / math.sqrt(n) <= half_width:
            return n
    return None


def outliers(values: Sequence[float]) -> tuple[int, ...]:
    """Return the positions of the runs that are far from the other runs of their point.

    Grubbs' two-sided test at 5 %, which compares each run with the others: a run is an outlier if
    the distance of its logarithm from their mean exceeds Student's t at 0.05/n. One point in twenty
    therefore has a flagged run by chance. With three runs the test flags almost nothing, and two
    outliers of a point can hide each other.

    Source: Grubbs, Procedures for Detecting Outlying Observations in Samples, Technometrics 11
    (1969). Rules that use the median absolute deviation flag far more runs at such small n.
    """
    n = len(values)
    if n < 3 or min(values) <= 0:
        return ()
    logs = [math.log(value) for value in values]
    limit = t_quantile(1 - 0.05 / (2 * n), n - 2)
    outlying = []
    for i, value in enumerate(logs):
        others = logs[:i] + logs[i + 1 :]
        error = max(statistics.stdev(others), _ROUNDING) * math.sqrt(n / (n - 1))
        if abs(value - statistics.fmean(others)) > limit * error:
            outlying.append(i)
    return tuple(outlying)


class BlockFit(msgspec.Struct, frozen=True):
    """The points of a study with the cycle effect removed. All figures are logarithms."""

    means: tuple[float, ...]
    """The mean of each point over the blocks."""
    residual_sd: float
    """Spread of the runs once point and cycle effects are removed; roughly the coefficient of
    variation."""
    df: int
    """Degrees of freedom of `residual_sd`: (points - 1) * (blocks - 1)."""
    half_width: float
    """Half-width of the simultaneous 95 % intervals for the differences between all points."""


def fit_blocks(blocks: Sequence[Sequence[float]]) -> BlockFit:
    """Compare points that ran once in every block.

    Additive model of point and block: an effect on the whole machine during a cycle changes all
    its points alike, so it does not change their differences. The model assumes that the order
    within a block is random and that the relative spread is the same for all points.

    The intervals hold simultaneously for all pairs, by Tukey's studentised range. Dunnett's
    correction, which compares every point with one fixed reference, would be narrower but is not
    valid here: the reference is the best point, chosen after the measurement, so every pair could
    have been the one compared.

    Args:
        blocks: n >= 2 rows, each with one positive figure per point, n >= 2, in the same order.

    Source: Tukey's method for randomised complete blocks, found in textbooks on the design of
    experiments.
    """
    logs = [[math.log(value) for value in block] for block in blocks]
    n_blocks, n_points = len(logs), len(logs[0])
    means = [statistics.fmean(column) for column in zip(*logs, strict=True)]
    overall = statistics.fmean(means)
    sum_of_squares = 0.0
    for block in logs:
        shift = statistics.fmean(block) - overall
        sum_of_squares += math.fsum((x - m - shift) ** 2 for x, m in zip(block, means, strict=True))
    df = (n_points - 1) * (n_blocks - 1)
    sd = max(math.sqrt(sum_of_squares / df), _ROUNDING)
    half = range_quantile(0.95, n_points, df) * sd / math.sqrt(n_blocks)
    return BlockFit(means=tuple(means), residual_sd=sd, df=df, half_width=half)
