"""The design of a study: which level of each factor every point has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


class Design(NamedTuple):
    """The levels of the points of a study.

    P points, K factors. Level numbers count from 0 in the order of `names`.
    """

    keys: tuple[str, ...]
    """Names of the K factors."""
    names: tuple[tuple[str, ...], ...]
    """Names of the levels of each factor."""
    levels: Ints
    """Shape (P, K): the level of each point, -1 where the factor does not exist."""

    def n_levels(self, factor: int) -> int:
        """Return the number of levels of a factor, measured or not."""
        return len(self.names[factor])

    def restricted_to(self, points: Bools) -> Design:
        """Return the design of some of the points; shape of `points` (P,)."""
        return self._replace(levels=self.levels[points])

    def keeping(self, factors: list[int]) -> Design:
        """Return the design with some of the factors only."""
        return Design(
            tuple(self.keys[f] for f in factors),
            tuple(self.names[f] for f in factors),
            self.levels[:, factors],
        )


def nesting(design: Design) -> Bools:
    """Return which factors exist at some levels of another factor only.

    Returns:
        Shape (K, K): element [g, f] says that g is nested in f.
    """
    import numpy as np

    n_factors = len(design.keys)
    nested = np.zeros((n_factors, n_factors), dtype=bool)
    exists = design.levels >= 0
    for g in range(n_factors):
        if exists[:, g].all():
            continue
        for f in range(n_factors):
            at = design.levels[:, f]
            with_g = {int(level) for level in at[exists[:, g]] if level >= 0}
            all_levels = {int(level) for level in at if level >= 0}
            nested[g, f] = f != g and bool(with_g) and with_g != all_levels
    return nested


def determined_by(design: Design, f: int) -> list[int]:
    """Return the factors that always change when `f` changes.

    `f` cannot be compared beside such a factor: every level of that factor occurs with a single
    level of `f`.
    """
    points = design.levels[:, f] >= 0
    own_levels = design.levels[points, f]
    others = []
    for g in range(len(design.keys)):
        pairs = set(zip(design.levels[points, g].tolist(), own_levels.tolist(), strict=True))
        if g != f and len({level for level, _ in pairs}) == len(pairs) and len(pairs) > 1:
            others.append(g)
    return others
