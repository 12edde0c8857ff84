"""The difference of two studies from the means of their cycles: Welch's t, by parts of a study.

All figures are logarithms. A cycle is the unit of repetition: all runs of a cycle share what happened
to the machine in it, and the cycles of two studies are not the same cycles. Within one study the
effects of its cycles cancel in a ratio of two points; between two studies nothing cancels.

Source: Welch, The generalization of "Student's" problem when several different population variances
are involved, Biometrika 34 (1947); degrees of freedom by Satterthwaite. How often the intervals hold
is printed by `benchmarks/compare_statistics.py`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

MAX_CYCLES = 1000
_POWER = 0.8
_ROUNDING = 1e-12  # logarithms that differ by less differ only by rounding


class Part(NamedTuple):
    """The cycle means of a part of a study, whose cycles no other part shares.

    Most studies have one part. A study that was merged from shards with disjoint points has one
    part per shard.
    """

    weight: float
    """Share of the compared points that belong to this part."""
    means: tuple[float, ...]
    """For each complete cycle, the mean over the points of the part; n >= 1."""


class Difference(NamedTuple):
    """Mean of the new study minus mean of the base, and its error."""

    value: float
    half_width: float | None
    """Of the interval; None if a part has fewer than 2 cycles."""

    @property
    def low(self) -> float:
        """Return the lower end; minus infinity if there is no interval."""
        return -math.inf if self.half_width is None else self.value - self.half_width

    @property
    def high(self) -> float:
        """Return the upper end; infinity if there is no interval."""
        return math.inf if self.half_width is None else self.value + self.half_width


def difference(
    new: Sequence[Part],
    base: Sequence[Part],
    level: float = 0.95,
    *,
    whole_df: bool = False,
) -> Difference:
    """Return the difference of two studies with its interval.

    Args:
        new: the parts of the new study; their weights sum to 1.
        base: the parts of the base.
        level: of the interval; see `simultaneous`.
        whole_df: whether the degrees of freedom are rounded down. Far out in the tails, where the
            intervals of many points are, Satterthwaite's approximation is too narrow without it.
    """
    value = mean(new) - mean(base)
    parts = (*new, *base)
    if any(len(part.means) < 2 for part in parts):
        return Difference(value, None)
    variances = [_variance(part) / len(part.means) for part in parts]
    total = sum(variances)
    if total <= _ROUNDING**2:
        return Difference(value, 0.0)
    weighted = sum(v * v / (len(p.means) - 1) for v, p in zip(variances, parts, strict=True))
    df = total**2 / weighted
    # Rounding error must not make 4 of 4.999999999.
    df = max(math.floor(df + _ROUNDING**0.5), 1) if whole_df else df
    return Difference(value, t_quantile((1 + level) / 2, df) * math.sqrt(total))


def mean(parts: Sequence[Part]) -> float:
    """Return the mean of a study over its points."""
    return math.fsum(part.weight * statistics.fmean(part.means) for part in parts)


def cycle_sd(parts: Sequence[Part]) -> float | None:
    """Return the standard deviation of a cycle's mean; None if a part has fewer than 2 cycles."""
    if any(len(part.means) < 2 for part in parts):
        return None
    return math.sqrt(sum(map(_variance, parts)))


def cycles_needed(
    new: Sequence[Part], base: Sequence[Part], half_width: float, level: float = 0.95
) -> int | None:
    """Return how many cycles each study needs so that the interval is narrow enough to decide.

    With this number of cycles, and if spreads and difference are as they were measured, the interval
    leaves out a value at this distance in 4 of 5 repetitions of both studies.

    Args:
        new: the parts of the new study. A part of one cycle has no spread; those of the others are
            taken.
        base: the parts of the base.
        half_width: the distance to the nearest value that the interval must leave out, > 0.
        level: of the interval.

    Returns:
        A number of 2 or more; None if no number up to `MAX_CYCLES` is enough, or if no part has two
        cycles.
    """
    known = [_variance(part) for part in (*new, *base) if len(part.means) > 1]
    if not known or half_width <= 0:
        return None
    typical = statistics.fmean(known)
    variances = [_variance(p) if len(p.means) > 1 else typical for p in (*new, *base)]
    total = max(sum(variances), _ROUNDING**2)
    df_per_cycle = total**2 / max(sum(v * v for v in variances), _ROUNDING**4)
    for n in range(2, MAX_CYCLES + 1):
        df = df_per_cycle * (n - 1)
        width = t_quantile((1 + level) / 2, df) + t_quantile(_POWER, df)
        if width * math.sqrt(total / n) <= half_width:
            return n
    return None


def simultaneous(n_intervals: int) -> float:
    """Return the level of single intervals that hold simultaneously in 95 % of cases.

    Source: Sidak, Rectangular confidence regions for the means of multivariate normal distributions,
    Journal of the American Statistical Association 62 (1967).
    """
    return float(0.95 ** (1 / max(n_intervals, 1)))


def t_quantile(probability: float, df: float) -> float:
    """Return a quantile of Student's t for any degrees of freedom > 0."""
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))


def _variance(part: Part) -> float:
    """Return the variance of the share of a cycle's mean that a part contributes."""
    return part.weight**2 * statistics.variance(part.means)
