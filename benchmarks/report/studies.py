"""Simulated studies with known effects, for `report_statistics.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

import numpy as np

from llem_report._ranking.designs import Design

Array = Any
"""An array of numpy; benchmarks do not distinguish what it holds."""

NOISE = 0.02  # standard deviation of a run, of its logarithm
CYCLE = 0.02  # standard deviation of a cycle


@dataclass(frozen=True)
class Kind:
    """A kind of study."""

    name: str
    levels: Array
    """Shape (P, K): all points before any is left out; -1 where a factor does not exist."""
    effects: Sequence[float]
    """Ratio of the last level of each factor to the first, less 1; 0 for a null factor."""
    cycles: Sequence[int]
    interactions: float = 0.0
    """Standard deviation of the two-way interactions of the factors that have an effect."""
    three_way: float = 0.0
    kept_points: float = 1.0
    """Share of the points that the study has."""
    excludes: bool = False
    """Leave out two combinations of levels."""
    failed_runs: float = 0.0
    heavy_tails: bool = False
    """Noise from Student's t with 4 degrees of freedom."""
    noise_of_points: Array = field(default=None)
    """Shape (P,): noise of each point relative to `NOISE`."""


@dataclass(frozen=True)
class Study:
    """A simulated study."""

    design: Design
    truth: Array
    """Shape (P,), logarithms."""
    values: Array
    """Shape (N,), logarithms, like the next two."""
    point: Array
    block: Array


def grid(*sizes: int) -> Array:
    """Return the levels of a full grid, shape (P, K)."""
    return np.array(list(product(*map(range, sizes))), dtype=np.int64)


def design_of(levels: Array) -> Design:
    """Return the design of a table of levels."""
    names = tuple(tuple(map(str, range(int(column.max()) + 1))) for column in levels.T)
    return Design(tuple("abcdefghijkl"[: levels.shape[1]]), names, levels)


def two_backends() -> Array:
    """Return two backends, each with an axis of 4 levels of its own, and two common axes."""
    own = [(0, x, -1) for x in range(4)] + [(1, -1, y) for y in range(4)]
    return np.array([(*a, *b) for a, b in product(own, product(range(3), range(2)))])


def simulate(kind: Kind, n_cycles: int, rng: np.random.Generator) -> Study:
    """Return a study of a kind; every study has its own interactions, holes and noise."""
    truth = _truth(kind, rng)
    kept = _kept(kind, rng)
    levels, truth = kind.levels[kept], truth[kept]
    shape = (n_cycles, len(levels))
    if kind.heavy_tails:
        noise = rng.standard_t(4, size=shape) * NOISE / np.sqrt(2)
    else:
        noise = rng.normal(size=shape) * NOISE
    if kind.noise_of_points is not None:
        noise *= kind.noise_of_points[kept]
    values = truth + noise + rng.normal(size=(n_cycles, 1)) * CYCLE
    point = np.tile(np.arange(len(levels)), n_cycles)
    block = np.repeat(np.arange(n_cycles), len(levels))
    succeeded = rng.random(values.size) >= kind.failed_runs
    measured, point_of = np.unique(point[succeeded], return_inverse=True)
    return Study(
        design=design_of(kind.levels)._replace(levels=levels[measured]),
        truth=truth[measured],
        values=values.ravel()[succeeded],
        point=point_of.reshape(-1),
        block=block[succeeded],
    )


def _truth(kind: Kind, rng: np.random.Generator) -> Array:
    n_factors = kind.levels.shape[1]
    truth = np.zeros(len(kind.levels))
    for f, effect in enumerate(kind.effects):
        level = kind.levels[:, f]
        steps = np.linspace(0, np.log1p(effect), level.max() + 1)
        truth += np.where(level >= 0, steps[level], 0.0)
    real = [f for f in range(n_factors) if kind.effects[f]]
    for size, sd in ((2, kind.interactions), (3, kind.three_way)):
        for factors in combinations(real if size == 2 else range(n_factors), size):
            if sd:
                truth += _interaction(kind.levels[:, factors], sd, rng)
    return truth


def _interaction(levels: Array, sd: float, rng: np.random.Generator) -> Array:
    """Return an interaction that has no main effect in a full grid; shape (P,)."""
    sizes = tuple(int(column.max()) + 1 for column in levels.T)
    table = rng.normal(size=sizes) * sd
    for axis in range(len(sizes)):
        table = table - table.mean(axis=axis, keepdims=True)
    exists = (levels >= 0).all(axis=1)
    return np.where(exists, table[tuple(levels.T)], 0.0)


def _kept(kind: Kind, rng: np.random.Generator) -> Array:
    """Return the positions of the points that a study has, in order."""
    kept = np.arange(len(kind.levels))
    if kind.excludes:
        a, b, c = kind.levels[:, 0], kind.levels[:, 1], kind.levels[:, 2]
        kept = np.flatnonzero(~((a == 1) & (b == 3)) & ~((b == 0) & (c == 2)))
    n_kept = round(kind.kept_points * len(kept))
    return np.sort(rng.permutation(kept)[:n_kept])


_SIZES = (2, 4, 3, 2, 3)
_EFFECTS = (0.35, 0.5, 0.12, 0.03, 0.0)
_BACKENDS = two_backends()
_BACKEND_EFFECTS = (0.2, 0.3, 0.1, 0.05, 0.0)
_NOISY_BACKEND = np.where(_BACKENDS[:, 0] == 1, 4.0, 1.0)
_SMALL = grid(3, 2, 2)

KINDS: tuple[Kind, ...] = (
    Kind("full grid, 144 points", grid(*_SIZES), _EFFECTS, (2, 3, 5), interactions=0.05),
    Kind("2 excludes, 15 % of points missing", grid(*_SIZES), _EFFECTS, (2, 3),
         interactions=0.05, excludes=True, kept_points=0.85),
    Kind("the same, 5 % of runs failed", grid(*_SIZES), _EFFECTS, (2, 3),
         interactions=0.05, excludes=True, kept_points=0.85, failed_runs=0.05),
    Kind("40 of 144 points", grid(*_SIZES), _EFFECTS, (3,), interactions=0.05,
         kept_points=40 / 144),
    Kind("24 points", grid(2, 4, 3), (0.35, 0.5, 0.0), (2, 3), interactions=0.05),
    Kind("close effects 10/10/9.5/0/0 %", grid(*_SIZES), (0.1, 0.1, 0.095, 0.0, 0.0), (3,)),
    Kind("nothing matters, 144 points", grid(*_SIZES), (0.0,) * 5, (2, 3)),
    Kind("heavy tails (t, 4 df)", grid(*_SIZES), _EFFECTS, (3,), interactions=0.05,
         heavy_tails=True),
    Kind("small, 4 points, 10/0 %", grid(2, 2), (0.1, 0.0), (2, 3, 5)),
    Kind("small, 12 points, 3/3/0 %", _SMALL, (0.03, 0.03, 0.0), (2, 3, 5)),
    Kind("two backends, one 4 x noisier", _BACKENDS, _BACKEND_EFFECTS, (2, 3, 5),
         failed_runs=0.03, noise_of_points=_NOISY_BACKEND),
    Kind("12 points, one level 4 x noisier", _SMALL, (0.0,) * 3, (2, 3),
         noise_of_points=np.where(_SMALL[:, 0] == 2, 4.0, 1.0)),
)  # fmt: skip
"""The ten kinds of study, and the same holes without and with failed runs."""
