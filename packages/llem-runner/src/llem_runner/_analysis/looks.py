"""Comparisons of a study to which cycles were added after its results could be seen."""

from __future__ import annotations

from collections.abc import Sequence

from llem_runner._plan.comparability import MIN_CYCLES

_ALPHA = 0.05
_MAX_LOOKS = 99  # the quantiles are accurate up to here


def alpha_after(looks: Sequence[int], min_cycles: int = MIN_CYCLES) -> float:
    """Return how often any interval of the next comparison may be wrong.

    A person who adds cycles until something differs compares many times. 0.05, then 0.05/8, 0.05/27
    and so on sum to 0.0601, so that all comparisons together are wrong in at most 6 % of studies,
    however many there are. `benchmarks/energy_statistics.py` prints it for looks after each of 3 to
    12 cycles.

    Args:
        looks: number of cycles at each earlier result.
        min_cycles: a result with fewer cycles allowed no comparison, so it could not show a false
            difference and does not count.
    """
    return _ALPHA / (min(len(_comparisons(looks, min_cycles)), _MAX_LOOKS) + 1) ** 3


def caveat(looks: Sequence[int], min_cycles: int = MIN_CYCLES) -> str | None:
    """Return a sentence if cycles were added after a look at a comparison; see `alpha_after`."""
    comparisons = _comparisons(looks, min_cycles)
    if not comparisons:
        return None
    *first, last = map(str, comparisons)
    numbers = f"{', '.join(first)} and {last}" if first else last
    return (
        f"cycles were added after the results of {numbers} cycles could be seen; the intervals are "
        f"wider ({100 * (1 - alpha_after(looks, min_cycles)):.3f} % instead of 95 %), so that adding cycles until "
        "something differs does not make false differences"
    )


def _comparisons(looks: Sequence[int], min_cycles: int) -> list[int]:
    return [n_cycles for n_cycles in looks if n_cycles >= min_cycles]
