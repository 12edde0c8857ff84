"""Which points run in which cycles of a study that has grown.

They are part of no hash: they say when the points were measured, not what is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt

from llem_config._spec.strict import STRICT


class CyclePart(BaseModel):
    """Cycles in which some of the points run, from the end of the part before it."""

    model_config = STRICT

    last_cycle: PositiveInt
    """Last cycle of the part."""
    points: Annotated[tuple[NonNegativeInt, ...], Field(strict=False, min_length=1)]
    """Positions of the points in `experiments`."""


def part_problem(parts: Sequence[CyclePart], n_points: int) -> str | None:
    """Return what is wrong with the parts of a study; None if they fit its points."""
    before = 0
    for part in parts:
        if part.last_cycle <= before:
            return f"expected a part that ends after cycle {before}, found cycle {part.last_cycle}"
        if len(set(part.points)) < len(part.points) or max(part.points) >= n_points:
            return f"expected each of {n_points} points at most once in a part, found {part.points}"
        before = part.last_cycle
    return None


def cycles_and_points(
    parts: Sequence[CyclePart], n_cycles: int, n_points: int
) -> Iterator[tuple[range, tuple[int, ...]]]:
    """Yield stretches of cycles with the positions of their points.

    All points run in the cycles after the last part.
    """
    first = 1
    for part in parts:
        yield range(first, part.last_cycle + 1), part.points
        first = part.last_cycle + 1
    if first <= n_cycles:
        yield range(first, n_cycles + 1), tuple(range(n_points))
