"""The analysis of readings over time; it needs no hardware."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from llem_energy._board_check.readings import Point

WITHIN = 0.05  # of idle power
_STILL_S = 0.3  # time for which power must stay near idle to have settled


def settled_s(points: Sequence[Point], since_s: float, level_w: float) -> float | None:
    """Return the seconds until power stays within 5 % of a level; None if it does not."""
    reached_s = None
    for t_s, watts in points:
        if t_s < since_s or watts > (1 + WITHIN) * level_w:
            reached_s = None
            continue
        reached_s = t_s if reached_s is None else reached_s
        if t_s - reached_s >= _STILL_S:
            return reached_s - since_s
    return None


class StampsSeen(msgspec.Struct, frozen=True):
    """How the timestamps of one field changed over many reads."""

    follows: str
    """`the query`, `the sensor`, `neither`, or `nothing` if they are constant."""
    moved_share: float
    """Share of reads with a new timestamp, among those with the same value as the read before."""
    step_s: float | None
    """Median time between two timestamps."""
    value_period_s: float | None
    """Median time between two changes of the value."""


def follow(reads: Sequence[tuple[float, int, int]]) -> StampsSeen:
    """Return what the timestamps of a field follow.

    Args:
        reads: time of the read in seconds, timestamp in microseconds, value.
    """
    same = [(a, b) for a, b in pairwise(reads) if a[2] == b[2]]
    moved = sum(a[1] != b[1] for a, b in same) / len(same) if same else 1.0
    stamps = sorted({stamp for _, stamp, _ in reads})
    steps_s = [1e-6 * (b - a) for a, b in pairwise(stamps)]
    times_s = [b[0] for a, b in pairwise(reads) if a[2] != b[2]]
    follows = "the query" if moved > 0.9 else "the sensor" if moved < 0.1 else "neither"
    return StampsSeen(
        follows if steps_s else "nothing",
        moved,
        statistics.median(steps_s) if steps_s else None,
        statistics.median(b - a for a, b in pairwise(times_s)) if len(times_s) > 1 else None,
    )
