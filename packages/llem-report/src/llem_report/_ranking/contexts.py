"""Level effects of a factor with everything else equal, as weights of the point means.

A context is one combination of the levels of all other factors. Levels are only compared within
contexts, so the effect of a level is its average effect over the contexts that the study has. That
assumes nothing about interactions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from llem_runner.block_model import connected

if TYPE_CHECKING:
    from llem_report._ranking.designs import Bools, Design, Floats, Ints


class Cells(NamedTuple):
    """The cells of a factor, one for each level in each context. C cells, P points, X contexts."""

    of_point: Ints
    """Shape (P,): the cell of each point, -1 where the factor does not exist."""
    level: Ints
    """Shape (C,)."""
    context: Ints
    """Shape (C,): 0 to X-1."""
    context_levels: Ints
    """Shape (X, K): the levels of the other factors; -2 for the factor itself and those nested in
    it, -1 where a factor does not exist."""
    n_levels: int


class LevelWeights(NamedTuple):
    """Level effects as weights of the point means. L levels, P points."""

    weights: Floats
    """Shape (L, P): effects = weights @ means. Only differences within a group have a meaning."""
    group: Ints
    """Shape (L,): levels with the same number can be compared; -1 for a level that cannot."""
    shared: Ints
    """Shape (L, L): number of contexts in which two levels were both measured."""
    n_points: Ints
    """Shape (L, L): number of points of the two levels in these contexts."""


def cells_of(design: Design, f: int, nested: Bools, part: Ints) -> Cells:
    """Return the cells of a factor.

    Args:
        design: the levels of the P points.
        f: number of the factor.
        nested: shape (K, K), from `nesting`. Factors nested in `f` do not distinguish contexts:
            a cell is the plain mean of its points.
        part: shape (P,), from `BlockFit.part`. Points of two parts are never in one context.
    """
    import numpy as np

    exists = design.levels[:, f] >= 0
    others = design.levels.copy()
    others[:, nested[:, f]] = -2
    others[:, f] = -2
    keys = np.column_stack([others, part])[exists]
    contexts, context = np.unique(keys, axis=0, return_inverse=True)
    pairs = np.column_stack([context.reshape(-1), design.levels[exists, f]])
    cells, cell = np.unique(pairs, axis=0, return_inverse=True)
    of_point = np.full(len(exists), -1)
    of_point[exists] = cell.reshape(-1)
    return Cells(of_point, cells[:, 1], cells[:, 0], contexts[:, :-1], design.n_levels(f))


def level_weights(cells: Cells, contexts: Bools | None = None) -> LevelWeights:
    """Return the level effects by least squares of the cells on level + context.

    If each context has all levels, the difference of two levels is the mean of their differences in
    the contexts. Contexts with a single level say nothing and have no weight.

    Args:
        cells: the cells of the factor.
        contexts: shape (X,), which contexts to use; all if not given.
    """
    import numpy as np

    n_levels, n_contexts = cells.n_levels, len(cells.context_levels)
    size = np.bincount(cells.context, minlength=n_contexts)
    useful = size >= 2 if contexts is None else (size >= 2) & contexts
    used = np.flatnonzero(useful[cells.context])
    level, context = cells.level[used], cells.context[used]
    present = np.zeros((n_levels, n_contexts))
    present[level, context] = 1.0
    shared = (present @ present.T).astype(np.int64)
    centred = np.zeros((n_levels, len(cells.level)))
    centred[level, used] = 1.0
    centred[:, used] -= present[:, context] / size[context]
    group = np.full(n_levels, -1)
    measured = np.flatnonzero(shared.diagonal())
    if len(measured):
        group[measured] = connected(shared[np.ix_(measured, measured)] > 0)
    equations = np.diag(shared.diagonal()) - (present / np.maximum(size, 1)) @ present.T
    last = {int(number): at for at, number in enumerate(group)}
    free = [at for at in measured if at != last[int(group[at])]]
    solution = np.zeros((n_levels, n_levels))
    if free:
        solution[np.ix_(free, free)] = np.linalg.inv(equations[np.ix_(free, free)])
    of_cells = solution @ centred
    n_points = np.bincount(cells.of_point[cells.of_point >= 0], minlength=len(cells.level))
    weights = np.zeros((n_levels, len(cells.of_point)))
    in_cell = cells.of_point >= 0
    weights[:, in_cell] = (of_cells / n_points)[:, cells.of_point[in_cell]]
    counts = np.zeros_like(present)
    counts[level, context] = n_points[used]
    both = counts @ present.T
    return LevelWeights(weights, group, shared, (both + both.T).astype(np.int64))


def comparable_pairs(levels: LevelWeights) -> tuple[Ints, Ints]:
    """Return the numbers of the two levels, a < b, of each pair that can be compared."""
    import numpy as np

    alike = (levels.group[:, None] == levels.group[None, :]) & (levels.group >= 0)
    first, second = np.nonzero(np.triu(alike, 1))
    return first, second
