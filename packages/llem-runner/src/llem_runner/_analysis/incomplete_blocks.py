"""Comparison of points that did not all run in every block of a study.

A block is what one process ran of one cycle. A study that was stopped and continued has blocks of a
part of the points, and so has one whose runs failed. The intervals are those of `complete_blocks`;
with complete blocks both give the same numbers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llem_runner._analysis.block_model import block_coupling, fit_blocks, pairs_within
from llem_runner._analysis.complete_blocks import (
    ROUNDING,
    n_tests_of_a_pair,
)
from llem_runner._analysis.incomplete_spreads import (
    MIN_POINT_DF,
    WHOLE,
    BlockRun,
    columns_of,
    groups_of_like_spread,
)
from llem_runner._analysis.quantiles import range_quantile, t_quantile, t_quantile_between
from llem_runner._analysis.statistics import sample_sd

if TYPE_CHECKING:
    from llem_runner._analysis.block_model import Floats, Ints


class IncompleteBlockComparison:
    """Points compared by least squares: point plus block, on logarithms.

    Source: Tukey-Kramer intervals, Kramer, Extension of multiple range tests to group means with
    unequal numbers of replications, Biometrics 12 (1956); the rest as in `complete_blocks`.
    """

    def __init__(self, runs: Sequence[BlockRun], alpha: float) -> None:
        """Fit the runs of n >= 2 points, all connected by blocks that they share.

        Args:
            runs: those that are compared, in any order.
            alpha: how often any interval of a study may be wrong.
        """
        import numpy as np

        self._alpha = alpha
        columns = columns_of(runs)
        self._fit = fit_blocks(columns.log, columns.point, columns.block)
        groups = groups_of_like_spread(columns, len(self._fit.means))
        self.groups = tuple(group for group, _ in groups)
        numbers = {point: n for n, (_, points) in enumerate(groups) for point in points}
        self.group_of = tuple(numbers[point] for point in range(len(numbers)))
        # The mean block effect, by runs, so that a mean is that of the figure as it was measured.
        level = float(np.bincount(columns.block) @ self._fit.effects) / len(runs)
        self.means = tuple(float(mean) + level for mean in self._fit.means)
        self._noise = [self._noise_of(points) for _, points in groups[1:]]
        self._by_block: dict[int, dict[int, float]] = {}
        for run in runs:
            self._by_block.setdefault(run.point, {})[run.block] = run.log

    @property
    def residual_sd(self) -> float:
        """Spread of the runs of the points that spread least."""
        return self.groups[0].sd

    @property
    def usual_half_width(self) -> float:
        """Half-width of an interval between points that spread least: what the study can tell.

        From the spread alone, with the mean variance of all pairs of these points.
        """
        import numpy as np

        fit = self._fit
        first = np.flatnonzero(np.asarray(self.group_of) == 0)
        n, each = len(first), 1 / fit.n_runs[first]
        weights = np.zeros(len(fit.n_runs))
        weights[first] = each
        shares = np.bincount(fit.block, weights=weights[fit.point], minlength=len(fit.effects))
        trace = float((each + fit.level_variance[first]).sum())
        total = float(each.sum() + shares @ fit.block_covariance @ shares)
        error = math.sqrt(max(2 / (n - 1) * (trace - total / n), 0.0)) * self.groups[0].sd
        df = max(1, round(statistics.median(self._fit.n_runs[first].tolist())) - 1)
        return max(self._tukey(0) * error / math.sqrt(2), self._paired(df) * error)

    def half_width(self, i: int, j: int) -> float:
        """Return the half-width of the interval for the difference between two points."""
        shared = self._of_block_effects(i, j)
        by_group = self._variances(i, j, shared)
        total = math.fsum(by_group)
        error, df = self._own_error(i, j, shared)
        a, b = self.group_of[i], self.group_of[j]
        if self.groups[a].n_points == 1 or self.groups[b].n_points == 1:
            return t_quantile_between(1 - self._alpha / 2 / self._n_pairs, df) * error
        guard = self._paired(df) * error
        if a == b:
            return max(self._tukey(a) * math.sqrt(total / 2), guard)
        welch_df = total**2 / math.fsum(
            variance**2 / group.df for variance, group in zip(by_group, self.groups, strict=True)
        )
        quantile = t_quantile(
            1 - self._alpha / 2 / self._n_pairs, max(1, math.floor(welch_df + WHOLE))
        )
        return max(quantile * math.sqrt(total), guard)

    def block_effects(self) -> list[tuple[float, float]]:
        """Return the effect of each block, and the half-width of its 95 % interval.

        An effect is the distance from the mean of all blocks.
        """
        import numpy as np

        n_blocks = len(self._fit.effects)
        centre = np.eye(n_blocks) - 1 / n_blocks
        effects = centre @ self._fit.effects
        variances = np.diag(centre @ self._fit.block_covariance @ centre)
        first = self.groups[0]
        widths = t_quantile(0.975, first.df) * first.sd * np.sqrt(np.maximum(variances, 0.0))
        return list(zip(effects.tolist(), widths.tolist(), strict=True))

    @property
    def _n_pairs(self) -> int:
        return len(self.means) * (len(self.means) - 1) // 2

    def _tukey(self, group: int) -> float:
        return range_quantile(1 - self._alpha, len(self.means), self.groups[group].df)

    def _paired(self, df: float) -> float:
        n_tests = n_tests_of_a_pair(len(self.means), self.groups[0].n_points)
        return t_quantile_between(1 - self._alpha / 2 / n_tests, df)

    def _noise_of(self, points: Sequence[int]) -> tuple[Ints, Floats]:
        """Return how the noise of some points enters the effects of their blocks.

        Returns:
            The blocks of the points, shape (S,), and the covariance of the noise there, (S, S).
        """
        import numpy as np

        runs = np.flatnonzero(np.isin(self._fit.point, points))
        point = np.unique(self._fit.point[runs], return_inverse=True)[1]
        blocks, block = np.unique(self._fit.block[runs], return_inverse=True)
        coupling = block_coupling(point, block, pairs_within(point), len(blocks))
        return blocks, np.diag(np.bincount(block)) - coupling

    def _of_block_effects(self, i: int, j: int) -> list[float]:
        """Return the variance by group that the block effects bring into a difference of points.

        For a variance of 1 of a run. The noise of all groups together gives the covariance of the block
        effects; what the other groups leave of it belongs to the first.
        """
        import numpy as np

        blocks = [np.fromiter(self._by_block[point], np.int64) for point in (i, j)]
        at = np.concatenate(blocks)
        shares = np.repeat([1 / len(blocks[0]), -1 / len(blocks[1])], [len(b) for b in blocks])
        by_block = shares @ self._fit.block_covariance[at]
        others = [float(by_block[s] @ noise @ by_block[s]) for s, noise in self._noise]
        return [max(float(by_block[at] @ shares) - math.fsum(others), 0.0), *others]

    def _variances(self, i: int, j: int, shared: Sequence[float]) -> list[float]:
        """Return the variance of a difference that the noise of the points of each group makes."""
        variances = list(shared)
        for point in (i, j):
            variances[self.group_of[point]] += 1 / int(self._fit.n_runs[point])
        return [v * group.sd**2 for v, group in zip(variances, self.groups, strict=True)]

    def _own_error(self, i: int, j: int, shared: Sequence[float]) -> tuple[float, float]:
        """Return the error of a difference by the spread of these two points, and its df."""
        a, b = self._by_block[i], self._by_block[j]
        if a.keys() == b.keys():
            differences = [a[block] - b[block] for block in a]
            n = len(differences)
            return max(sample_sd(differences), ROUNDING) / math.sqrt(n), n - 1
        own = [self._own_variance(point) for point in (i, j)]
        variances = [v / int(self._fit.n_runs[p]) for p, (v, _) in zip((i, j), own, strict=True)]
        df = max(1.0, min(df for _, df in own))
        of_blocks = math.fsum(v * group.sd**2 for v, group in zip(shared, self.groups, strict=True))
        return math.sqrt(max(math.fsum(variances) + of_blocks, ROUNDING**2)), df

    def _own_variance(self, point: int) -> tuple[float, float]:
        """Return the variance of a run of a point by its own residuals, and its df.

        Of its group where its own residuals do not tell.
        """
        df = float(self._fit.point_df[point])
        if df >= MIN_POINT_DF - WHOLE:
            return float(self._fit.squares[point]) / df, df
        group = self.groups[self.group_of[point]]
        return group.sd**2, group.df
