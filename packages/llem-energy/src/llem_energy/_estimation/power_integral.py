"""The integral of power readings: a cross-check of the energy counter, and its replacement."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

Point = tuple[float, float]
"""Time in seconds on the monotonic clock, and watts."""


def mean_w(powers: Sequence[Point], from_s: float, to_s: float) -> float | None:
    """Return mean instant power between two instants; None if it was not read."""
    first = bisect_left(powers, from_s, key=lambda point: point[0])
    last = bisect_right(powers, to_s, key=lambda point: point[0])
    values = [watts for _, watts in powers[first:last]]
    return statistics.fmean(values) if values else None


class Integral(msgspec.Struct, frozen=True):
    """The energy under a power trace, and its error because power is only sampled."""

    energy_j: float
    sampling_j: float
    """95 % bound of the sampling error, assuming readings at random times."""


def integrated_energy(
    readings: Sequence[Point],
    start_s: float,
    end_s: float,
    *,
    max_gap_s: float,
    period_s: float | None = None,
) -> Integral | None:
    """Return the energy under a power trace by the trapezoid rule.

    Args:
        readings: watts in time order. The ends of the window are interpolated between the
            neighbouring readings; nothing is extrapolated.
        start_s: start of the window.
        end_s: end of the window.
        max_gap_s: maximum time between two readings.
        period_s: between two updates of the sensor, if known: readings within one period count
            as one.

    Returns:
        None if the readings do not cover the window, or have a longer gap.
    """
    if not readings or readings[0][0] > start_s or readings[-1][0] < end_s:
        return None
    first = bisect_right(readings, start_s, key=lambda point: point[0]) - 1
    last = bisect_left(readings, end_s, key=lambda point: point[0])
    around = readings[first : last + 1]
    if any(later[0] - earlier[0] > max_gap_s for earlier, later in pairwise(around)):
        return None
    inner = [point for point in around if start_s < point[0] < end_s]
    ends = [(start_s, _linear(readings, start_s)), *inner, (end_s, _linear(readings, end_s))]
    joules = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(ends))
    return Integral(joules, _sampling_error(ends, end_s - start_s, period_s))


def _sampling_error(points: Sequence[Point], duration_s: float, period_s: float | None) -> float:
    """Return twice the standard error of the mean power, times the duration."""
    powers = [watts for _, watts in points]
    n_seen: float = len(powers)
    if period_s:
        n_seen = min(n_seen, max(1.0, duration_s / period_s))
    return 2 * statistics.stdev(powers) / math.sqrt(n_seen) * duration_s


def _linear(readings: Sequence[Point], t_s: float) -> float:
    position = bisect_right(readings, t_s, key=lambda point: point[0])
    before = readings[position - 1]
    if position == len(readings) or before[0] == t_s:
        return before[1]
    after = readings[position]
    share = (t_s - before[0]) / (after[0] - before[0])
    return before[1] + share * (after[1] - before[1])
