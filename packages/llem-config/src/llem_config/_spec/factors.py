"""The factors of a study: the axes of its sweep, and the level of each point.

They describe how a study was written, not what it measures, so they are part of no hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field

from llem_config._spec.strict import STRICT

Level = Annotated[int, Field(ge=0)] | None
"""Position in `Factor.levels`; None: the factor does not exist at this point."""
LevelRow = Annotated[tuple[Level, ...], Field(strict=False)]
"""The level of one point for each factor."""


class Factor(BaseModel):
    """An axis of the sweep: a field, or a group of fields that change together."""

    model_config = STRICT

    key: str
    """As in the study file, such as `pytorch.batch_size` or the name of a group."""
    levels: Annotated[tuple[str, ...], Field(strict=False)]
    """A short label of each value, all different: first those of the sweep in file order, then
    those that only an explicit point has."""
    numeric: bool
    """Whether all levels are numbers; each label is then the number."""


def row_problem(factors: Sequence[Factor], rows: Sequence[LevelRow], n_points: int) -> str | None:
    """Return what is wrong with the levels of a study; None if they fit its factors."""
    if not factors and not rows:
        return None
    if len(rows) != n_points:
        return f"expected the levels of {n_points} points, found those of {len(rows)}"
    sizes = [len(factor.levels) for factor in factors]
    for row in rows:
        if len(row) != len(sizes):
            return f"expected a level for each of the {len(sizes)} factors, found {len(row)}"
        for level, size in zip(row, sizes, strict=True):
            if level is not None and level >= size:
                return f"expected the position of a level, < {size}, found {level}"
    return None


def common_row(factors: Sequence[Factor], rows: Sequence[LevelRow]) -> LevelRow:
    """Return the levels of a point that the sweep contains several times.

    A factor does not exist where all its levels are the same measurement, such as
    `decoder.top_k` with greedy decoding. Otherwise the first level counts.
    """
    first, *others = rows
    if not others or len(first) != len(factors):
        return first
    return tuple(
        None if len({row[i] for row in rows}) == len(factor.levels) > 1 else first[i]
        for i, factor in enumerate(factors)
    )
