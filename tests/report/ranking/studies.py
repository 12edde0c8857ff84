"""Designs and simulated studies with known effects, for the tests of the ranking."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from llem_report._ranking.designs import Design

if TYPE_CHECKING:
    from llem_report._ranking.designs import Bools, Floats, Ints


def grid(*sizes: int) -> Ints:
    """Return the levels of a full grid, shape (P, K)."""
    return np.array(list(product(*map(range, sizes))), dtype=np.int64)


def design(levels: Ints | Sequence[Sequence[int]]) -> Design:
    """Return a design with factors `f0`, `f1` and so on, and levels `0`, `1` and so on."""
    table = np.asarray(levels, dtype=np.int64)
    names = tuple(tuple(map(str, range(int(column.max()) + 1))) for column in table.T)
    return Design(tuple(f"f{k}" for k in range(table.shape[1])), names, table)


def nested_backends() -> Ints:
    """Return two backends (f0), each with an axis of its own (f1, f2), and an axis of both (f3)."""
    first = [(0, x, -1, z) for x in range(3) for z in range(2)]
    return np.array(first + [(1, -1, y, z) for y in range(3) for z in range(2)], dtype=np.int64)


def runs_of(truth: Any, n_cycles: int, noise: Floats) -> tuple[Floats, Ints, Ints]:
    """Return value, point and block of each run, cycle after cycle.

    Args:
        truth: array of shape (P,), logarithms.
        n_cycles: number of blocks.
        noise: shape (n_cycles, P), added to the truth; may hold the effects of the cycles.
    """
    values = (truth[None, :] + noise).ravel()
    n_points = len(truth)
    point = np.tile(np.arange(n_points), n_cycles)
    return values, point, np.repeat(np.arange(n_cycles), n_points)


def without(runs: tuple[Floats, Ints, Ints], missing: Bools) -> tuple[Floats, Ints, Ints]:
    """Return the runs that are not missing; every point and block must keep a run."""
    values, point, block = runs
    return values[~missing], point[~missing], block[~missing]
