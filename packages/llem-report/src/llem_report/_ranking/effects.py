"""From the level pairs of all factors to the range of each factor and the ranks it can have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from llem_report._ranking.contexts import LevelWeights, comparable_pairs
from llem_report._ranking.contrasts import Contrasts, ErrorModel, contrasts_of, half_widths
from llem_runner.block_model import BlockFit

if TYPE_CHECKING:
    from llem_report._ranking.designs import Floats, Ints

_CHUNK = 2_000_000  # numbers in a matrix of contrasts: 16 MB


class Pairs(NamedTuple):
    """Pairs of levels of a factor, everything else equal. M pairs, all shapes (M,)."""

    a: Ints
    b: Ints
    difference: Floats
    """Logarithm of the figure of `a` less that of `b`."""
    half_width: Floats
    """Of intervals that hold together for all pairs of all factors; NaN without errors."""
    n_contexts: Ints
    n_points: Ints


class Range(NamedTuple):
    """How far apart the levels of a factor are, in logarithms."""

    log_ratio: float
    """Largest distance of two levels."""
    low: float
    """Largest lower end of the intervals of the pairs, at least 0; NaN without errors."""
    high: float
    """Largest upper end of the intervals of the pairs; NaN without errors."""
    lowest_level: int
    """The level with the lowest figure, of the pair with the largest distance."""
    highest_level: int


def contrast_pairs(
    fit: BlockFit, errors: ErrorModel | None, levels: LevelWeights
) -> tuple[Ints, Ints, Contrasts]:
    """Return the pairs of levels that can be compared, with differences and errors.

    Without an error model, the errors are NaN.
    """
    import numpy as np

    a, b = comparable_pairs(levels)
    blocks = []
    for part in _chunks(len(a), len(fit.means)):
        weights = levels.weights[a[part]] - levels.weights[b[part]]
        if errors is None:
            unknown = np.full(len(weights), np.nan)
            blocks.append(Contrasts(weights @ fit.means, unknown, unknown))
        else:
            blocks.append(contrasts_of(fit, errors, weights))
    if not blocks:
        return a, b, Contrasts(np.zeros(0), np.zeros(0), np.zeros(0))
    return a, b, Contrasts(*map(np.concatenate, zip(*blocks, strict=True)))


def all_pairs(
    fit: BlockFit, errors: ErrorModel | None, factors: list[LevelWeights], alpha: float = 0.05
) -> list[Pairs]:
    """Return the pairs of each factor, with intervals that hold together for all of them."""
    found = [contrast_pairs(fit, errors, levels) for levels in factors]
    n_together = max(sum(len(a) for a, _, _ in found), 1)
    return [
        Pairs(
            a,
            b,
            contrasts.difference,
            half_widths(contrasts, n_together, alpha),
            levels.shared[a, b],
            levels.n_points[a, b],
        )
        for levels, (a, b, contrasts) in zip(factors, found, strict=True)
    ]


def range_of(pairs: Pairs) -> Range | None:
    """Return the range of a factor, or None if no two of its levels can be compared."""
    import numpy as np

    if not len(pairs.a):
        return None
    distance = np.abs(pairs.difference)
    at = int(distance.argmax())
    a, b = int(pairs.a[at]), int(pairs.b[at])
    a_is_lower = bool(pairs.difference[at] <= 0)
    return Range(
        log_ratio=float(distance[at]),
        low=float(np.maximum(distance - pairs.half_width, 0.0).max()),
        high=float((distance + pairs.half_width).max()),
        lowest_level=a if a_is_lower else b,
        highest_level=b if a_is_lower else a,
    )


def rank_sets(ranges: list[Range | None]) -> list[tuple[int, int] | None]:
    """Return the first and the last rank that each factor can have; None for one without a range.

    A factor is behind another one for certain if its whole interval is below that of the other.
    """
    known = [each for each in ranges if each is not None]
    return [
        None
        if own is None
        else (
            1 + sum(other.low > own.high for other in known),
            len(known) - sum(other.high < own.low for other in known),
        )
        for own in ranges
    ]


def _chunks(n_rows: int, n_columns: int) -> Iterator[slice]:
    step = max(_CHUNK // max(n_columns, 1), 1)
    return (slice(start, start + step) for start in range(0, n_rows, step))
