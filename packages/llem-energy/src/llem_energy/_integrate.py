"""From readings to joules, pure functions.

A counter shows the energy up to its last update, some milliseconds ago. It never falls, so the
updates on either side of an instant enclose the truth at that instant: this gives an error bound
that needs no assumption about the load. Between two updates the estimate is linear.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

Point = tuple[float, float]
"""Time in seconds on the monotonic clock, and a value: joules of a counter, or watts."""


class Estimate(msgspec.Struct, frozen=True):
    """An energy and the interval that holds the truth; `high_j` is None without an upper end."""

    energy_j: float
    low_j: float
    high_j: float | None

    @property
    def bound_j(self) -> float | None:
        """Return the largest possible error, sensor gain apart; None if it is not bounded."""
        if self.high_j is None:
            return None
        return max(self.energy_j - self.low_j, self.high_j - self.energy_j)


def counter_energy(readings: Sequence[Point], start_s: float, end_s: float) -> Estimate | None:
    """Return the energy between two instants from readings of a cumulative counter.

    Args:
        readings: in time order, joules since some start. There should be at least one update
            before `start_s` and one after `end_s`; without the latter there is no bound.
        start_s: start of the window.
        end_s: end of the window.

    Returns:
        None where the counter says nothing: fewer than two readings, none before the start, it
        fell (reset), or it never moved after the start (stall).
    """
    if any(later[1] < earlier[1] for earlier, later in pairwise(readings)):
        return None
    updates = [point for i, point in enumerate(readings) if not i or readings[i - 1][1] < point[1]]
    if len(updates) < 2 or updates[0][0] > start_s or updates[-1][0] <= start_s:
        return None
    start, start_next = _at(updates, start_s)
    end, end_next = _at(updates, end_s)
    assert start_next is not None  # there is an update after the start
    energy_j = end[1] - start[1]
    low_j = max(0.0, end[0] - start_next)
    return Estimate(energy_j, low_j, None if end_next is None else end_next - start[0])


def _at(updates: Sequence[Point], t_s: float) -> tuple[tuple[float, float], float | None]:
    """Return (value shown, value interpolated) at an instant, and the value shown next."""
    position = bisect_right(updates, t_s, key=lambda point: point[0])
    shown_s, shown = updates[position - 1]
    if position == len(updates):
        return (shown, shown), None
    next_s, following = updates[position]
    share = (t_s - shown_s) / (next_s - shown_s)
    return (shown, shown + share * (following - shown)), following


def integrated_energy(readings: Sequence[Point], start_s: float, end_s: float) -> float | None:
    """Return the energy under a power trace by the trapezoid rule.

    Args:
        readings: watts in time order. The ends of the window are interpolated between the
            readings around them; nothing is extrapolated.
        start_s: start of the window.
        end_s: end of the window.

    Returns:
        Joules, or None if the readings do not reach from start to end.
    """
    if not readings or readings[0][0] > start_s or readings[-1][0] < end_s:
        return None
    inner = [point for point in readings if start_s < point[0] < end_s]
    ends = [(start_s, _linear(readings, start_s)), *inner, (end_s, _linear(readings, end_s))]
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(ends))


def _linear(readings: Sequence[Point], t_s: float) -> float:
    position = bisect_right(readings, t_s, key=lambda point: point[0])
    before = readings[position - 1]
    if position == len(readings) or before[0] == t_s:
        return before[1]
    after = readings[position]
    share = (t_s - before[0]) / (after[0] - before[0])
    return before[1] + share * (after[1] - before[1])
