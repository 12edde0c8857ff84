"""What the points of like spread say about the cycles of a study, to find runs that are far off."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from llem_runner._analysis.spreads import are_alike

if TYPE_CHECKING:
    from llem_runner._analysis.block_model import Bools, Floats, Ints

_ALPHA_POINT = 0.01
"""A point spreads more than the others, and says nothing about them, by this test."""
_ROUNDING = 1e-12  # logarithms that differ by less differ only by rounding
_N_SWEEPS = 50


class RunColumns(NamedTuple):
    """Runs as arrays of shape (N,); P points and C cycles are numbered from 0."""

    point: Ints
    cycle: Ints
    log: Floats

    def some(self, kept: Bools) -> RunColumns:
        """Return the runs where `kept` is true, shape (N,)."""
        return RunColumns(self.point[kept], self.cycle[kept], self.log[kept])


class CycleEffects(NamedTuple):
    """What the points of like spread say about the cycles, without the effects of the points."""

    means: Floats
    """Shape (P,): mean of each point; 0 for a point that is not among them, as below."""
    sums: Floats
    """Shape (C,): sum of the logarithms of the runs, each less the mean of its point."""
    counts: Ints
    """Shape (C,): number of these runs."""
    squares: Floats
    """Shape (P,): sum of squared residuals."""
    df: int
    """Degrees of freedom of all residuals."""


def cycle_effects(runs: RunColumns, quiet: Bools) -> CycleEffects:
    """Fit point and cycle by least squares to the points of like spread; some runs may be missing."""
    import numpy as np

    n_cycles = int(runs.cycle.max()) + 1
    point, cycle, log = runs.some(quiet[runs.point])
    sizes = np.bincount(point, minlength=len(quiet))
    counts = np.bincount(cycle, minlength=n_cycles)
    means, effects = np.zeros(len(quiet)), np.zeros(n_cycles)
    for _ in range(_N_SWEEPS):
        new = np.bincount(point, log - effects[cycle], len(quiet)) / np.maximum(sizes, 1)
        change = np.abs(new - means).max()
        means = new
        effects = np.bincount(cycle, log - means[point], n_cycles) / np.maximum(counts, 1)
        if change < _ROUNDING:
            break
    residuals = log - means[point] - effects[cycle]
    df = len(log) - np.count_nonzero(sizes) - np.count_nonzero(counts) + 1
    return CycleEffects(
        means=means,
        sums=np.bincount(cycle, log - means[point], n_cycles).astype(np.float64),
        counts=counts,
        squares=np.bincount(point, residuals**2, len(quiet)).astype(np.float64),
        df=max(int(df), 0),
    )


def points_of_like_spread(runs: RunColumns) -> Bools:
    """Return whether each point spreads like the others, by the test that the comparison uses."""
    import numpy as np

    sizes = np.bincount(runs.point)
    quiet: Bools = sizes >= 2
    while (n := int(quiet.sum())) > 2:
        cycles = cycle_effects(runs, quiet)
        df = round(int((sizes[quiet] - 1).sum()) / n)
        spreads = cycles.squares[quiet] / (sizes[quiet] - 1)
        if df < 1 or are_alike((df * spreads).tolist(), df, _ALPHA_POINT):
            break
        quiet[np.flatnonzero(quiet)[int(spreads.argmax())]] = False
    return quiet


def said_by_others(runs: RunColumns, quiet: Bools, cycles: CycleEffects) -> Floats:
    """Return the effect of the cycle of each run as the other points of like spread tell it."""
    import numpy as np

    is_quiet = quiet[runs.point]
    own = np.where(is_quiet, runs.log - cycles.means[runs.point], 0.0)
    n_others = cycles.counts[runs.cycle] - is_quiet
    total = cycles.sums[runs.cycle] - own
    return np.where(n_others > 0, total / np.maximum(n_others, 1), 0.0)


def without_each_point(cycles: CycleEffects, quiet: Bools, sizes: Ints) -> tuple[Floats, Ints]:
    """Return the squared residuals of all points but one and their degrees of freedom, shapes (P,).

    Without the point, whose outlier also shifts the mean of its cycle. Exact if no run is missing.
    """
    import numpy as np

    total, n = float(cycles.squares.sum()), int(quiet.sum())
    if n < 2:
        return np.where(quiet, 0.0, total), np.where(quiet, 0, cycles.df)
    others = np.maximum(total - cycles.squares * n / (n - 1), 0.0)
    df = np.maximum(cycles.df - sizes + 1, 0)
    return np.where(quiet, others, total), np.where(quiet, df, cycles.df)
