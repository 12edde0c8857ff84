"""Which points spread alike, and by how much, when not all of them ran in every block."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from llem_runner._analysis.block_model import BlockFit, fit_blocks
from llem_runner._analysis.complete_blocks import ROUNDING, SpreadGroup
from llem_runner._analysis.spreads import are_alike

if TYPE_CHECKING:
    from llem_runner._analysis.block_model import Floats, Ints

MIN_POINT_DF = 1.0
"""With fewer degrees of freedom, the residuals of a point do not tell how much it spreads."""
WHOLE = 1e-9  # degrees of freedom that are this close to one another differ by rounding
_MIN_GROUP_DF = 2
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


class RunColumns(NamedTuple):
    """The runs as arrays of shape (N,)."""

    point: Ints
    block: Ints
    log: Floats


def columns_of(runs: Sequence[BlockRun]) -> RunColumns:
    """Return runs as arrays."""
    import numpy as np

    return RunColumns(
        np.array([run.point for run in runs]),
        np.array([run.block for run in runs]),
        np.array([run.log for run in runs]),
    )


def _fit(runs: RunColumns, points: Sequence[int]) -> BlockFit:
    """Fit the runs of some of the points, which are numbered on from 0."""
    import numpy as np

    number = np.full(int(runs.point.max()) + 1, -1)
    number[list(points)] = np.arange(len(points))
    kept = np.flatnonzero(number[runs.point] >= 0)
    blocks: Ints = np.unique(runs.block[kept], return_inverse=True)[1]
    return fit_blocks(runs.log[kept], number[runs.point[kept]], blocks)


def groups_of_like_spread(runs: RunColumns, n_points: int) -> list[tuple[SpreadGroup, list[int]]]:
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


def _like_spread(runs: RunColumns, points: Sequence[int]) -> tuple[list[int], BlockFit]:
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
            if df >= MIN_POINT_DF - WHOLE
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

    def __init__(self, runs: RunColumns, first: SpreadGroup, others: Sequence[int]) -> None:
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
