"""Whether the order and the number of cycles of a study allow a comparison of its points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from llem_config import StudyConfig, cycles_and_points
from llem_runner._plan.schedule import ordered

CONSTANT_ORDER = (
    "the points ran in the same order in all cycles, so drift of the machine and the longer gap "
    "between cycles look like differences between points; use cycle_order: shuffled, and more "
    "cycles if the random orders are the same by chance"
)
MIN_CYCLES = 3
"""Two differences have one degree of freedom: their 95 % interval reaches 12.7 standard errors."""


def has_constant_order(blocks: Iterable[Sequence[Hashable]]) -> bool:
    """Return whether the points ran in the same order in every block, as far as they ran.

    A block is compared with the first one before it that shares two points with it.

    Args:
        blocks: the points of each block, in the order in which they ran.
    """
    places: list[dict[Hashable, int]] = []
    is_compared = False
    for points in blocks:
        shared = ([place[point] for point in points if point in place] for place in places)
        common = next((each for each in shared if len(each) > 1), None)
        if common is not None and common != sorted(common):
            return False
        is_compared = is_compared or common is not None
        places.append({point: at for at, point in enumerate(points)})
    return is_compared


def why_not_comparable(study: StudyConfig) -> str | None:
    """Return why the points of a study will not be compared, even if every run succeeds.

    Returns None if they will be, or if the study has only one point.
    """
    hashes, n_cycles = study.config_hashes, study.execution.n_cycles
    if len(hashes) < 2:
        return None
    if n_cycles < MIN_CYCLES:
        return (
            f"the points will not be compared: expected at least {MIN_CYCLES} cycles, found "
            f"{n_cycles}; use --cycles {MIN_CYCLES} or more"
        )
    parts = list(cycles_and_points(study.parts, n_cycles, len(hashes)))
    n_of = Counter(
        position for cycles, positions in parts for position in positions for _ in cycles
    )
    if (fewest := min(n_of[position] for position in range(len(hashes)))) < MIN_CYCLES:
        return (
            f"not all points will be compared: expected at least {MIN_CYCLES} cycles of each, found "
            f"{fewest}; use --cycles {MIN_CYCLES} or more"
        )
    blocks = (ordered(at, cycle, study.execution) for cycles, at in parts for cycle in cycles)
    if has_constant_order(blocks):
        return f"the points will not be compared: {CONSTANT_ORDER.replace('ran', 'run', 1)}"
    return None
