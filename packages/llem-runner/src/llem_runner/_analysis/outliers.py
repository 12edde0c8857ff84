"""Runs of a study that are far from the other runs of their point, found by one test for all runs.

A run is an outlier if it is far from the others of its point while these agree with each other. How
far runs of a point usually are from each other is known from all points together, so that a point of
three runs can have an outlier, and a study with many points is not full of them.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from llem_runner._analysis.distributions import f_above
from llem_runner._analysis.quantiles import t_quantile
from llem_runner._analysis.spreads import are_alike

_ALPHA = 0.05
"""Share of studies without outliers in which a run is called one."""
_ALPHA_SPREAD = 0.05
"""The other runs of a point agree as those of the study do, unless this test says otherwise."""
_ALPHA_POINT = 0.01
"""A point spreads more than the others, and says nothing about them, by this test."""
_MIN_RUNS = 3
_ROUNDING = 1e-12  # logarithms that differ by less differ only by rounding
_N_SWEEPS = 50


class Run(NamedTuple):
    """One run of a point."""

    point: str
    cycle: int
    log: float
    """Logarithm of the figure."""


class _Cycles(NamedTuple):
    """What the points of like spread say about the cycles, without the effects of the points."""

    effects: dict[tuple[str, int], float]
    """By point and cycle: logarithm of the run less the mean of its point."""
    sums: dict[int, float]
    """Sum of the effects by cycle."""
    counts: Counter[int]
    squares: dict[str, float]
    """Sum of squared residuals by point."""
    total_squares: float
    df: int
    """Degrees of freedom of all residuals."""


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
    kept = dict(enumerate(runs))
    limits = {p: (n - 1) // 2 for p, n in Counter(run.point for run in runs).items()}
    quiet = _points_of_like_spread(runs)
    found: list[int] = []
    while True:
        excesses = _excesses(kept, quiet, len(runs), limits)
        excess, index = max(excesses, default=(0.0, -1))
        if excess <= 1:
            return sorted(found)
        limits[kept[index].point] -= 1
        found.append(index)
        del kept[index]


def _excesses(
    kept: Mapping[int, Run], quiet: set[str], n_runs: int, limits: Mapping[str, int]
) -> Iterator[tuple[float, int]]:
    """Yield for each run its distance from the others of its point, over the largest by chance."""
    cycles = _cycle_effects([run for run in kept.values() if run.point in quiet])
    points: dict[str, list[int]] = {}
    for index, run in kept.items():
        points.setdefault(run.point, []).append(index)
    for point, indices in points.items():
        if len(indices) < _MIN_RUNS or limits[point] < 1:
            continue
        logs = _without_cycles([kept[i] for i in indices], cycles)
        n_others = len(quiet) - (point in quiet)
        squares, df = _without_point(cycles, point, len(indices))
        widening = 1 + 1 / n_others if n_others else 1.0
        for position, index in enumerate(indices):
            others = logs[:position] + logs[position + 1 :]
            mean = math.fsum(others) / len(others)
            rest = math.fsum((log - mean) ** 2 for log in others) / widening
            df_rest = len(others) - 1
            variance, df_used = rest / df_rest, df_rest
            if df > 0 and _is_like(variance, df_rest, squares / df, df):
                variance, df_used = (rest + squares) / (df_rest + df), df_rest + df
            error = max(math.sqrt(variance * widening), _ROUNDING)
            error *= math.sqrt(1 + 1 / len(others))
            limit = t_quantile(1 - _ALPHA / 2 / n_runs, df_used) * error
            yield abs(logs[position] - mean) / limit, index


def _without_point(cycles: _Cycles, point: str, n_runs: int) -> tuple[float, int]:
    """Return the squared residuals of the other points and their degrees of freedom.

    Without the point, whose outlier also shifts the mean of its cycle. Exact if no run is missing.
    """
    own, n = cycles.squares.get(point), len(cycles.squares)
    if own is None:
        return cycles.total_squares, cycles.df
    if n < 2:
        return 0.0, 0
    return max(cycles.total_squares - own * n / (n - 1), 0.0), max(cycles.df - n_runs + 1, 0)


def _is_like(variance: float, df: int, of_study: float, df_of_study: int) -> bool:
    """Return whether the runs of a point spread no more than those of the study."""
    if variance <= of_study:
        return True
    if of_study <= 0:
        return False
    return variance / of_study <= _largest_like(df, df_of_study)


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


def _without_cycles(runs: Sequence[Run], cycles: _Cycles) -> list[float]:
    """Return the logarithms of the runs of a point less what the other points say of the cycle."""
    logs = []
    for run in runs:
        own = cycles.effects.get((run.point, run.cycle))
        n_others = cycles.counts[run.cycle] - (own is not None)
        total = cycles.sums.get(run.cycle, 0.0) - (own or 0.0)
        logs.append(run.log - (total / n_others if n_others > 0 else 0.0))
    return logs


def _cycle_effects(runs: Sequence[Run]) -> _Cycles:
    """Fit point and cycle by least squares; some runs may be missing."""
    points = Counter(run.point for run in runs)
    counts = Counter(run.cycle for run in runs)
    means = dict.fromkeys(points, 0.0)
    effects = dict.fromkeys(counts, 0.0)
    for _ in range(_N_SWEEPS):
        new = dict.fromkeys(points, 0.0)
        for run in runs:
            new[run.point] += (run.log - effects[run.cycle]) / points[run.point]
        change = max((abs(new[p] - means[p]) for p in points), default=0.0)
        means = new
        effects = dict.fromkeys(counts, 0.0)
        for run in runs:
            effects[run.cycle] += (run.log - means[run.point]) / counts[run.cycle]
        if change < _ROUNDING:
            break
    squares = dict.fromkeys(points, 0.0)
    sums = dict.fromkeys(counts, 0.0)
    single = {}
    for run in runs:
        effect = run.log - means[run.point]
        single[run.point, run.cycle] = effect
        sums[run.cycle] += effect
        squares[run.point] += (effect - effects[run.cycle]) ** 2
    df = max(len(runs) - len(points) - len(counts) + 1, 0)
    return _Cycles(single, sums, counts, squares, math.fsum(squares.values()), df)


def _points_of_like_spread(runs: Sequence[Run]) -> set[str]:
    """Return the points whose runs spread alike, by the test that the comparison uses."""
    sizes = Counter(run.point for run in runs)
    points = {point for point, n in sizes.items() if n >= 2}
    while len(points) > 2:
        cycles = _cycle_effects([run for run in runs if run.point in points])
        df = round(sum(sizes[p] - 1 for p in points) / len(points))
        spreads = {p: cycles.squares[p] / (sizes[p] - 1) for p in sorted(points)}
        if df < 1 or are_alike([df * spread for spread in spreads.values()], df, _ALPHA_POINT):
            break
        points.remove(max(spreads, key=spreads.__getitem__))
    return points
