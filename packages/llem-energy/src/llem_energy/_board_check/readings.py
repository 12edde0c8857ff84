"""Power over time, from the readings of a counter or of instant power."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from llem_energy._estimation.counter import Reading, find_updates
from llem_energy._sources.protocol import Sample

Point = tuple[float, float]  # time at which a value was first seen, and the value
Piece = tuple[float, float, float]  # start, end, mean watts in between

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


def mean_period_s(updates: Sequence[Point], about_s: float) -> float:
    """Return the mean period of a counter, to a fraction of the resolution of single readings.

    Args:
        updates: n >= 2; some may be missing in between.
        about_s: the period, to a third.
    """
    n_periods = sum(max(1, round((b - a) / about_s)) for (a, _), (b, _) in pairwise(updates))
    return (updates[-1][0] - updates[0][0]) / n_periods
