"""From readings to joules, pure functions.

A counter shows the energy up to its last update, some milliseconds ago. It never falls, so what it
showed before an instant and what it shows after its next update enclose the truth at that instant:
this gives an error bound that needs no assumption about the load. Between two updates the estimate
is linear.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

Point = tuple[float, float]
"""Time in seconds on the monotonic clock, and watts."""


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a counter showed at some instant between `begin_s` and `end_s`."""

    begin_s: float
    end_s: float
    energy_j: float


class Estimate(msgspec.Struct, frozen=True):
    """An energy and the interval that holds the truth, in joules."""

    energy_j: float
    low_j: float
    high_j: float

    @property
    def bound_j(self) -> float:
        """Return the largest possible error, sensor gain apart."""
        return max(self.energy_j - self.low_j, self.high_j - self.energy_j)


class _Edge(msgspec.Struct, frozen=True):
    """One instant, and the readings whose values enclose the truth at it."""

    t_s: float
    before: int
    after: int


def counter_energy(readings: Sequence[Reading], start_s: float, end_s: float) -> Estimate | None:
    """Return the energy between two instants from readings of a cumulative counter.

    Args:
        readings: in time order and not overlapping, joules since some start.
        start_s: start of the window.
        end_s: end of the window.

    Returns:
        None where the counter does not say it: no reading before the start, no update that is
        surely after the end (it stands still, or is gone), or it fell in between (reset).
    """
    start, end = _edge(readings, start_s), _edge(readings, end_s)
    if start is None or end is None:
        return None
    around = readings[start.before : end.after + 1]
    if any(later.energy_j < earlier.energy_j for earlier, later in pairwise(around)):
        return None
    low_j = readings[end.before].energy_j - readings[start.after].energy_j
    high_j = readings[end.after].energy_j - readings[start.before].energy_j
    energy_j = _interpolated(readings, end) - _interpolated(readings, start)
    return Estimate(energy_j, max(0.0, low_j), high_j)


def _edge(readings: Sequence[Reading], t_s: float) -> _Edge | None:
    before = bisect_right(readings, t_s, key=lambda reading: reading.end_s) - 1
    after = bisect_left(readings, t_s, key=lambda reading: reading.begin_s)
    if before < 0 or after == len(readings):
        return None
    # The first reading after an instant may show an update from before it, which says nothing of
    # the truth at the instant. Only a change between two readings that are both later does.
    shown_j = readings[after].energy_j
    while after < len(readings) and readings[after].energy_j == shown_j:
        after += 1
    return None if after == len(readings) else _Edge(t_s, before, after)


def _interpolated(readings: Sequence[Reading], edge: _Edge) -> float:
    """Return the energy at an instant, linear between the counter's updates around it."""
    first = edge.before
    while first > 0 and readings[first - 1].energy_j == readings[edge.before].energy_j:
        first -= 1
    shown_s, shown_j = _update_s(readings, first), readings[first].energy_j
    for i in range(first + 1, edge.after + 1):
        if readings[i].energy_j == shown_j:
            continue
        next_s, next_j = _update_s(readings, i), readings[i].energy_j
        if edge.t_s < next_s:
            return shown_j + (edge.t_s - shown_s) / (next_s - shown_s) * (next_j - shown_j)
        shown_s, shown_j = next_s, next_j
    return shown_j


def _update_s(readings: Sequence[Reading], i: int) -> float:
    """Return when reading `i` came to its value: half-way since the reading before it."""
    reading = readings[i]
    begin_s = readings[i - 1].begin_s if i else reading.begin_s
    return (begin_s + reading.end_s) / 2


def integrated_energy(
    readings: Sequence[Point], start_s: float, end_s: float, *, longest_gap_s: float
) -> float | None:
    """Return the energy under a power trace by the trapezoid rule.

    Args:
        readings: watts in time order. The ends of the window are interpolated between the
            readings around them; nothing is extrapolated.
        start_s: start of the window.
        end_s: end of the window.
        longest_gap_s: over a longer gap nothing is guessed.

    Returns:
        Joules, or None if the readings do not reach from start to end without such a gap.
    """
    if not readings or readings[0][0] > start_s or readings[-1][0] < end_s:
        return None
    first = bisect_right(readings, start_s, key=lambda point: point[0]) - 1
    last = bisect_left(readings, end_s, key=lambda point: point[0])
    around = readings[first : last + 1]
    if any(later[0] - earlier[0] > longest_gap_s for earlier, later in pairwise(around)):
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
