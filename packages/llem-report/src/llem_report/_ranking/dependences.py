"""Choices that depend on another choice, and those that flip with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from llem_report._ranking.contexts import Cells, level_weights
from llem_report._ranking.contrasts import Contrasts, ErrorModel, half_widths
from llem_report._ranking.effects import contrast_pairs
from llem_runner.block_model import BlockFit

if TYPE_CHECKING:
    from llem_report._ranking.designs import Floats, Ints

_MAX_OTHERS = 10


class LevelDependence(NamedTuple):
    """The difference of two levels of a factor at each level of another factor."""

    factor: int
    a: int
    b: int
    other: int
    levels: Ints
    """Shape (Q,): levels of `other` at which `a` and `b` can be compared."""
    difference: Floats
    """Shape (Q,): logarithm of the figure of `a` less that of `b`."""
    half_width: Floats
    """Shape (Q,): of intervals that hold together for all dependences of the study."""
    gap: float
    """Distance between the two intervals that are furthest apart, in logarithms."""

    @property
    def flips(self) -> bool:
        """Whether `a` is lower at one level of `other` for certain, and `b` at another."""
        lower_ends = self.difference - self.half_width
        return bool((lower_ends > 0).any() and (self.difference + self.half_width < 0).any())


class Dependences(NamedTuple):
    """All dependences that the data show."""

    listed: list[LevelDependence]
    """Flips first, then at most 10 others; the largest gap first."""
    median_half_width: float | None
    """None if nothing could be compared at several levels of another factor."""


class _Table(NamedTuple):
    """All pairs of a factor at all levels of another one. Q levels, M pairs; NaN where missing."""

    factor: int
    other: int
    a: Ints
    b: Ints
    levels: Ints
    values: Contrasts
    """Each of shape (Q, M)."""


def find_dependences(
    fit: BlockFit, errors: ErrorModel, factors: list[Cells], alpha: float = 0.05
) -> Dependences:
    """Return the pairs of levels whose difference depends on the level of another factor.

    The intervals hold together for all pairs at all levels of all other factors: a family of its
    own, beside that of the ranges.
    """
    import numpy as np

    n_factors = len(factors)
    tables = [
        table
        for f in range(n_factors)
        for g in range(n_factors)
        if f != g and (table := _table(fit, errors, factors[f], f, g)) is not None
    ]
    n_together = sum(int(np.isfinite(table.values.error).sum()) for table in tables)
    if not n_together:
        return Dependences([], None)
    listed: list[LevelDependence] = []
    widths = []
    for table in tables:
        half_width = half_widths(table.values, n_together, alpha)
        widths.append(half_width[np.isfinite(half_width)])
        listed += _certain(table, half_width)
    listed.sort(key=lambda each: (not each.flips, -each.gap))
    n_flips = sum(each.flips for each in listed)
    return Dependences(listed[: n_flips + _MAX_OTHERS], float(np.median(np.concatenate(widths))))


def _table(fit: BlockFit, errors: ErrorModel, cells: Cells, f: int, g: int) -> _Table | None:
    import numpy as np

    at = cells.context_levels[:, g]
    levels = np.unique(at[at >= 0])
    if len(levels) < 2:
        return None
    n_levels = cells.n_levels
    difference, error, df = np.full((3, len(levels), n_levels, n_levels), np.nan)
    for row, level in enumerate(levels):
        a, b, found = contrast_pairs(fit, errors, level_weights(cells, at == level))
        difference[row, a, b], error[row, a, b], df[row, a, b] = found
    several = np.isfinite(error).sum(axis=0) >= 2
    a, b = np.nonzero(several)
    if not len(a):
        return None
    values = Contrasts(difference[:, a, b], error[:, a, b], df[:, a, b])
    return _Table(f, g, a, b, levels, values)


def _certain(table: _Table, half_width: Floats) -> list[LevelDependence]:
    """Return the pairs of which two intervals do not overlap."""
    import numpy as np

    difference = table.values.difference
    gaps = np.nanmax(difference - half_width, axis=0) - np.nanmin(difference + half_width, axis=0)
    found = []
    for m in np.flatnonzero(gaps > 0):
        rows = np.isfinite(half_width[:, m])
        found.append(
            LevelDependence(
                factor=table.factor,
                a=int(table.a[m]),
                b=int(table.b[m]),
                other=table.other,
                levels=table.levels[rows],
                difference=difference[rows, m],
                half_width=half_width[rows, m],
                gap=float(gaps[m]),
            )
        )
    return found
