"""Comparison of points that did not all run in every block of a study.

A block is what one process ran of one cycle. A study that was stopped and continued has blocks of a
part of the points, and so has one whose runs failed. The intervals are those of `complete_blocks`;
with complete blocks both give the same numbers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from llem_runner._analysis.block_model import BlockFit, block_coupling, fit_blocks, pairs_within
from llem_runner._analysis.complete_blocks import (
    ROUNDING,
    SpreadGroup,
    n_tests_of_a_pair,
)
from llem_runner._analysis.quantiles import range_quantile, t_quantile, t_quantile_between
from llem_runner._analysis.spreads import are_alike
from llem_runner._analysis.statistics import sample_sd

if TYPE_CHECKING:
    from llem_runner._analysis.block_model import Floats, Ints

_MIN_POINT_DF = 1.0
"""With fewer degrees of freedom, the residuals of a point do not tell how much it spreads."""
_MIN_GROUP_DF = 2
_WHOLE = 1e-9  # degrees of freedom that are this close to one another differ by rounding
_DIGITS = 9
"""Of degrees of freedom; without a limit, rounding would decide on a half, and with it the order of
the runs or the machine that computes."""


class BlockRun(NamedTuple):
    """A run that is compared."""

    point: int
    """From 0; every point has at least two runs."""
    block: int
    """From 0; every block has at least two runs."""
    log: float
    """Logarithm of the figure."""


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
        columns = _columns(runs)
        self._fit = fit_blocks(columns.log, columns.point, columns.block)
        groups = _groups_of_like_spread(columns, len(self._fit.means))
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
            1 - self._alpha / 2 / self._n_pairs, max(1, math.floor(welch_df + _WHOLE))
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
        if df >= _MIN_POINT_DF - _WHOLE:
            return float(self._fit.squares[point]) / df, df
        group = self.groups[self.group_of[point]]
        return group.sd**2, group.df


class _Columns(NamedTuple):
    """The runs as arrays of shape (N,)."""

    point: Ints
    block: Ints
    log: Floats


def _columns(runs: Sequence[BlockRun]) -> _Columns:
    import numpy as np

    return _Columns(
        np.array([run.point for run in runs]),
        np.array([run.block for run in runs]),
        np.array([run.log for run in runs]),
    )


def _fit(runs: _Columns, points: Sequence[int]) -> BlockFit:
    """Fit the runs of some of the points, which are numbered on from 0."""
    import numpy as np

    number = np.full(int(runs.point.max()) + 1, -1)
    number[list(points)] = np.arange(len(points))
    kept = np.flatnonzero(number[runs.point] >= 0)
    blocks: Ints = np.unique(runs.block[kept], return_inverse=True)[1]
    return fit_blocks(runs.log[kept], number[runs.point[kept]], blocks)


def _groups_of_like_spread(runs: _Columns, n_points: int) -> list[tuple[SpreadGroup, list[int]]]:
    """Return the groups of points that spread alike; the one that spreads least is the first."""
    groups: list[tuple[SpreadGroup, list[int]]] = []
    left = list(range(n_points))
    alone: _Alone | None = None
    while left:
        points, fit = _like_spread(runs, left)
        if groups and (len(points) == 1 or fit.df < _MIN_GROUP_DF):
            alone = alone or _Alone(runs, *groups[0])
            groups += [(alone.spread(point), [point]) for point in points]
        else:
            df = max(1, fit.df)
            sd = math.sqrt(float(fit.squares.sum()) / df)
            groups.append((SpreadGroup(max(sd, ROUNDING), df, len(points)), points))
        grouped = set(points)
        left = [point for point in left if point not in grouped]
    return groups


def _like_spread(runs: _Columns, points: Sequence[int]) -> tuple[list[int], BlockFit]:
    """Return the points that have the same spread, at least two of them if there are two."""
    points = list(points)
    fit = _fit(runs, points)
    while len(points) > 2:
        n = len(points)
        # A point of K has (K-1)/K of the degrees of freedom that it would have alone.
        dfs = [float(df) * n / (n - 1) for df in fit.point_df]
        spreads = {
            at: float(fit.squares[at]) / df
            for at, df in enumerate(dfs)
            if df >= _MIN_POINT_DF - _WHOLE
        }
        if len(spreads) < 3:
            break
        df = max(1, round(round(statistics.fmean(dfs[at] for at in spreads), _DIGITS)))
        if are_alike([df * spread for spread in spreads.values()], df):
            break
        largest = max(spreads.values())
        noisy = next(at for at, spread in spreads.items() if spread >= largest * (1 - 1e-9))
        others = [point for at, point in enumerate(points) if at != noisy]
        without = _fit(runs, others)
        if without.df < _MIN_GROUP_DF:
            break
        points, fit = others, without
    return points, fit


class _Alone:
    """The spread of a point by its differences from the points of the first group."""

    def __init__(self, runs: _Columns, first: SpreadGroup, others: Sequence[int]) -> None:
        import numpy as np

        self._runs = runs
        self._first = first
        fit = _fit(runs, others)
        blocks = np.unique(runs.block[np.isin(runs.point, others)])
        parts = np.zeros(len(blocks), dtype=np.int64)
        parts[fit.block] = fit.part[fit.point]
        # Block effects have a meaning within a part that shared blocks connect.
        self._of_block = {
            int(block): (int(part), float(effect))
            for block, part, effect in zip(blocks, parts, fit.effects, strict=True)
        }

    def spread(self, point: int) -> SpreadGroup:
        """Return the spread of a point; that of the first group if they share too few blocks."""
        own_runs = self._runs.point == point
        by_part: dict[int, list[float]] = {}
        for block, log in zip(self._runs.block[own_runs], self._runs.log[own_runs], strict=True):
            if (found := self._of_block.get(int(block))) is not None:
                part, effect = found
                by_part.setdefault(part, []).append(float(log) - effect)
        df = sum(len(own) - 1 for own in by_part.values())
        if df < 1:
            return SpreadGroup(self._first.sd, self._first.df, 1)
        squares = math.fsum(
            (log - statistics.fmean(own)) ** 2 for own in by_part.values() for log in own
        )
        return SpreadGroup(max(math.sqrt(squares / df), ROUNDING), df, 1)
