"""Runs of a study that are far from the other runs of their point, found by one test for all runs.

A run is an outlier if it is far from the others of its point while these agree with each other. How
far runs of a point usually are from each other is known from all points together, so that a point of
three runs can have an outlier, and a study with many points is not full of them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from llem_runner._analysis.block_model import pairs_within
from llem_runner._analysis.cycle_effects import (
    RunColumns,
    cycle_effects,
    points_of_like_spread,
    said_by_others,
    without_each_point,
)
from llem_runner._analysis.distributions import f_above
from llem_runner._analysis.quantiles import t_quantile

if TYPE_CHECKING:
    from llem_runner._analysis.block_model import Bools, Floats, Ints

_ALPHA = 0.05
"""Share of studies without outliers in which a run is called one."""
_ALPHA_SPREAD = 0.05
"""The other runs of a point agree as those of the study do, unless this test says otherwise."""
_MIN_RUNS = 3
_ROUNDING = 1e-12  # logarithms that differ by less differ only by rounding
_TIE = 1 - 1e-9  # distances that are closer than this to the largest differ only by rounding


class Run(NamedTuple):
    """One run of a point."""

    point: str
    cycle: int
    log: float
    """Logarithm of the figure."""


def outlying_runs(runs: Sequence[Run]) -> list[int]:
    """Return the positions of the outliers, in ascending order.

    Each run is compared with the other runs of its point, after the effects of the cycles are
    removed, by Student's t at 5 % over all runs (Bonferroni). The run with the clearest result is
    removed and the test repeated. At most a minority of the runs of a point can be outliers.

    Args:
        runs: of all points, at most one per point and cycle.

    Source: the externally studentised residual, in textbooks on regression, e.g. Cook and Weisberg,
    Residuals and Influence in Regression (1982), section 2.2.2; its maximum by Bonferroni's
    inequality.
    """
    import numpy as np

    if not runs:
        return []
    columns = RunColumns(
        np.unique([run.point for run in runs], return_inverse=True)[1],
        np.unique([run.cycle for run in runs], return_inverse=True)[1],
        np.array([run.log for run in runs]),
    )
    limits = (np.bincount(columns.point) - 1) // 2
    quiet = points_of_like_spread(columns)
    kept = np.ones(len(runs), dtype=bool)
    found: list[int] = []
    while True:
        excesses = _excesses(columns.some(kept), quiet, len(runs), limits)
        largest = float(excesses.max())
        if largest <= 1:
            return sorted(found)
        # Of several that are equally far, such as the runs of two points in a cycle, always the last.
        farthest = np.flatnonzero(excesses >= largest * _TIE)[-1]
        outlier = int(np.flatnonzero(kept)[farthest])
        limits[columns.point[outlier]] -= 1
        found.append(outlier)
        kept[outlier] = False


def _excesses(runs: RunColumns, quiet: Bools, n_runs: int, limits: Ints) -> Floats:
    """Return for each run its distance from the others of its point, over the largest by chance.

    0 for a run of a point with too few runs.

    Args:
        runs: those that are no outliers.
        quiet: shape (P,), whether a point is of like spread.
        n_runs: number of runs with those that are outliers.
        limits: shape (P,), how many runs of a point may still be outliers.
    """
    import numpy as np

    point = runs.point
    cycles = cycle_effects(runs, quiet)
    sizes = np.bincount(point, minlength=len(quiet))
    is_tested = ((sizes >= _MIN_RUNS) & (limits >= 1))[point]
    if not is_tested.any():
        return np.zeros(len(point))
    logs = runs.log - said_by_others(runs, quiet, cycles)
    n_others = np.maximum(sizes[point] - 1, 1)
    means = (np.bincount(point, weights=logs)[point] - logs) / n_others
    first, second = pairs_within(point)
    squared = np.where(first == second, 0.0, (logs[second] - means[first]) ** 2)
    n_quiet = quiet.sum() - quiet[point]
    widening = 1 + np.where(n_quiet > 0, 1 / np.maximum(n_quiet, 1), 0.0)
    rest = np.bincount(first, weights=squared, minlength=len(point)) / widening
    df_rest = np.maximum(n_others - 1, 1)
    squares_of_points, df_of_points = without_each_point(cycles, quiet, sizes)
    squares, df = squares_of_points[point], df_of_points[point]
    is_pooled = is_tested & (df > 0) & _is_like(rest / df_rest, df_rest, squares, df)
    variance = np.where(is_pooled, (rest + squares) / (df_rest + df), rest / df_rest)
    error = np.maximum(np.sqrt(variance * widening), _ROUNDING) * np.sqrt(1 + 1 / n_others)
    used, which = np.unique(
        np.where(is_pooled, df_rest + df, df_rest)[is_tested], return_inverse=True
    )
    quantiles = np.array([t_quantile(1 - _ALPHA / 2 / n_runs, int(each)) for each in used])
    excesses = np.zeros(len(point))
    excesses[is_tested] = np.abs(logs - means)[is_tested] / (quantiles[which] * error[is_tested])
    return excesses


def _is_like(variance: Floats, df: Ints, squares_of_study: Floats, df_of_study: Ints) -> Bools:
    """Return whether the runs of each point spread no more than those of the study."""
    import numpy as np

    of_study = squares_of_study / np.maximum(df_of_study, 1)
    doubtful = (variance > of_study) & (of_study > 0) & (df_of_study > 0)
    is_like: Bools = variance <= of_study
    for one, other in np.unique(np.stack([df, df_of_study])[:, doubtful], axis=1).T:
        these = doubtful & (df == one) & (df_of_study == other)
        largest = _largest_like(int(one), int(other))
        is_like[these] = variance[these] / of_study[these] <= largest
    return is_like


@functools.cache  # the same few numbers for thousands of runs
def _largest_like(df: int, df_of_study: int) -> float:
    """Return the largest ratio of variances that chance explains."""
    low, high = 1.0, 2.0
    while f_above(high, df, df_of_study) >= _ALPHA_SPREAD:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        if f_above(middle, df, df_of_study) >= _ALPHA_SPREAD:
            low = middle
        else:
            high = middle
    return low
