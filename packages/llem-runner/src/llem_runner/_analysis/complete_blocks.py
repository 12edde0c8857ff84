"""Comparison of points that ran once in every block of a study."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec

from llem_runner._analysis.quantiles import range_quantile, t_quantile
from llem_runner._analysis.spreads import groups_of_like_spread, squares_of_residuals
from llem_runner._analysis.statistics import sample_sd

ROUNDING = 1e-12  # logarithms that differ by less differ only by rounding


class SpreadGroup(msgspec.Struct, frozen=True):
    """Points that share one spread."""

    sd: float
    """Spread of the runs, once point and cycle effects are removed; roughly the coefficient of
    variation. Of a single point: of its differences from the mean of the first group."""
    df: int
    """Degrees of freedom of `sd`."""
    n_points: int


class BlockComparison(msgspec.Struct, frozen=True):
    """The points of a study with the cycle effect removed. All figures are logarithms."""

    means: tuple[float, ...]
    """The mean of each point over the blocks."""
    groups: tuple[SpreadGroup, ...]
    """The points that spread least are in the first."""
    group_of: tuple[int, ...]
    """For each point the position of its group."""
    alpha: float
    """How often any interval of a study may be wrong."""
    logs: tuple[tuple[float, ...], ...]
    """One row per block."""

    @property
    def residual_sd(self) -> float:
        """Spread of the runs of the points that spread least."""
        return self.groups[0].sd

    @property
    def usual_half_width(self) -> float:
        """Half-width of an interval between points that spread least: what the study can tell.

        From the spread alone, before the differences between the points are looked at.
        """
        group = self.groups[0]
        error = math.sqrt(2 / len(self.logs)) * group.sd
        return max(self._tukey(group), self._paired() * error)

    def half_width(self, i: int, j: int) -> float:
        """Return the half-width of the interval for the difference between two points."""
        n_blocks = len(self.logs)
        differences = [row[i] - row[j] for row in self.logs]
        error = max(sample_sd(differences), ROUNDING) / math.sqrt(n_blocks)
        a, b = self.groups[self.group_of[i]], self.groups[self.group_of[j]]
        if a.n_points == 1 or b.n_points == 1:
            return t_quantile(1 - self.alpha / 2 / self._n_pairs, n_blocks - 1) * error
        # A noisy point can be in a group of quiet ones by chance, but not also differ from them by
        # much more than its own spread.
        guard = self._paired() * error
        if a is b:
            return max(self._tukey(a), guard)
        return max(_welch(a, b, n_blocks, self.alpha / self._n_pairs), guard)

    def block_effects(self) -> list[tuple[float, float]]:
        """Return the effect of each block, and the half-width of its 95 % interval.

        An effect is the distance from the mean of all blocks.
        """
        n_blocks, n_points = len(self.logs), len(self.means)
        level = math.fsum(self.means) / n_points
        group = self.groups[0]
        error = group.sd * math.sqrt((1 - 1 / n_blocks) / n_points)
        half_width = t_quantile(0.975, group.df) * error
        return [(math.fsum(row) / n_points - level, half_width) for row in self.logs]

    def _paired(self) -> float:
        """Return the quantile of the paired t test of points that belong to a group."""
        n_tests = n_tests_of_a_pair(len(self.means), self.groups[0].n_points)
        return t_quantile(1 - self.alpha / 2 / n_tests, len(self.logs) - 1)

    @property
    def _n_pairs(self) -> int:
        return len(self.means) * (len(self.means) - 1) // 2

    def _tukey(self, group: SpreadGroup) -> float:
        quantile = range_quantile(1 - self.alpha, len(self.means), group.df)
        return quantile * group.sd / math.sqrt(len(self.logs))


def compare_complete_blocks(
    blocks: Sequence[Sequence[float]], alpha: float = 0.05
) -> BlockComparison:
    """Compare points that ran once in every block.

    Additive model of point and block: an effect on the whole machine during a cycle changes all
    its points alike, so it does not change their differences. The model assumes that the order
    within a block is random or that there is no drift.

    The intervals hold simultaneously for all pairs, because the reference is the best point, chosen
    after the measurement, so every pair could have been the one compared (Dunnett's correction for
    a fixed reference would be too narrow). Points are grouped by their spread. Within a group the
    intervals are Tukey's, with the studentised range over all points; between two groups Welch's
    with Bonferroni's correction over all pairs; both must also differ by the paired t test over the
    other points. A point alone with its spread is compared by the paired t test over all pairs, and
    has no influence on the others. `benchmarks/energy_statistics.py` prints how often such intervals
    are wrong.

    Args:
        blocks: n >= 2 rows, each with one positive figure per point, n >= 2, in the same order.
        alpha: how often any interval of a study may be wrong.

    Source: Tukey's method for randomised complete blocks, found in textbooks on the design of
    experiments; Welch, The generalization of Student's problem when several different population
    variances are involved, Biometrika 34 (1947); Bonferroni's inequality.
    """
    logs = tuple(tuple(math.log(value) for value in block) for block in blocks)
    groups = groups_of_like_spread(logs)
    position = {point: number for number, group in enumerate(groups) for point in group}
    return BlockComparison(
        means=tuple(math.fsum(column) / len(logs) for column in zip(*logs, strict=True)),
        groups=tuple(_group(logs, group, groups[0]) for group in groups),
        group_of=tuple(position[point] for point in range(len(logs[0]))),
        alpha=alpha,
        logs=logs,
    )


def _group(
    logs: Sequence[Sequence[float]], points: Sequence[int], first: Sequence[int]
) -> SpreadGroup:
    n_blocks = len(logs)
    if len(points) == 1:
        others = [statistics.fmean(row[i] for i in first) for row in logs]
        own = [row[points[0]] - other for row, other in zip(logs, others, strict=True)]
        return SpreadGroup(sd=max(sample_sd(own), ROUNDING), df=n_blocks - 1, n_points=1)
    df = (len(points) - 1) * (n_blocks - 1)
    sd = math.sqrt(math.fsum(squares_of_residuals(logs, points)) / df)
    return SpreadGroup(sd=max(sd, ROUNDING), df=df, n_points=len(points))


def _welch(a: SpreadGroup, b: SpreadGroup, n_blocks: int, alpha: float) -> float:
    """Return the half-width of the interval between points of two groups."""
    variance_a, variance_b = a.sd**2, b.sd**2
    total = variance_a + variance_b
    df = total**2 / (variance_a**2 / a.df + variance_b**2 / b.df)
    return t_quantile(1 - alpha / 2, max(1, math.floor(df))) * math.sqrt(total / n_blocks)


def n_tests_of_a_pair(n_points: int, n_quiet: int) -> int:
    """Return how many paired t tests Bonferroni's correction covers, for points of a group.

    It is over the pairs of one noisy point that is in a group of quiet ones by chance; if noisy
    points were found, as many again may be hidden.
    """
    n_noisy = n_points - n_quiet
    return min(n_points * (n_points - 1) // 2, (n_points - 1) * (1 + n_noisy))
