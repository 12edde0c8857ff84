"""Whether the order and the number of cycles of a study allow a comparison of its points."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import StudyConfig
from llem_runner._plan.schedule import ordered

CONSTANT_ORDER = (
    "the points ran in the same order in all cycles, so drift of the machine and the longer gap "
    "between cycles look like differences between points; use cycle_order: shuffled, and more "
    "cycles if the random orders are the same by chance"
)
MIN_CYCLES = 3
"""Two differences have one degree of freedom: their 95 % interval reaches 12.7 standard errors."""


def has_constant_order(cycles: Sequence[Sequence[int]]) -> bool:
    """Return whether the points ran in the same order in every cycle.

    Args:
        cycles: for each cycle the position of the run of each point, points in the same order.
    """
    return len({tuple(sorted(range(len(row)), key=row.__getitem__)) for row in cycles}) == 1


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
    orders = (ordered(hashes, cycle, study.execution) for cycle in range(1, n_cycles + 1))
    first = next(orders)
    if all(order == first for order in orders):
        return f"the points will not be compared: {CONSTANT_ORDER.replace('ran', 'run', 1)}"
    return None
