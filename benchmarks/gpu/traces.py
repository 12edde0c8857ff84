"""The analysis of readings over time; it needs no hardware."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

from llem_energy._estimation.counter import Reading, find_updates
from llem_energy.sources import Sample

Point = tuple[float, float]  # time at which a value was first seen, and the value
Piece = tuple[float, float, float]  # start, end, mean watts in between

WITHIN = 0.05  # of idle power
_STILL_S = 0.3  # time for which power must stay near idle to have settled
_SENSOR_WINDOW_S = 0.025  # of instant power on Hopper and GA100 (GPU_Power_Benchmark data)


def changes(samples: Sequence[Sample], value: Callable[[Sample], float | None]) -> list[Point]:
    """Return the times at which a value of a device changed, with the new values."""
    readings = [
        Reading(s.t_s - s.read_duration_s / 2, s.t_s + s.read_duration_s / 2, reading)
        for s in samples
        if (reading := value(s)) is not None
    ]
    return [(update.middle_s, update.energy_j) for update in find_updates(readings)]


def counter_pieces(updates: Sequence[Point]) -> list[Piece]:
    """Return the mean power between consecutive updates of a counter."""
    return [(a, b, (e1 - e0) / (b - a)) for (a, e0), (b, e1) in pairwise(updates) if b > a]


def power_pieces(updates: Sequence[Point]) -> list[Piece]:
    """Return each reading of power as the mean over the preceding window of the sensor."""
    return [(t_s - _SENSOR_WINDOW_S, t_s, watts) for t_s, watts in updates]


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
