"""The energy up to an instant, from the readings of a cumulative counter.

A counter steps: between two updates it shows the energy up to the last one. It never falls, so
its value before an instant and its value after the next update enclose the true energy at that
instant, whatever the load does. The time of an update is known to lie between two readings; since
updates come at a nearly constant period, neighbouring updates narrow it down.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

_MIN_INSIDE = 5  # updates in a window whose period is learnt
_SEEN = 1.5  # readings per update, so that none is hidden between two of them
_MICRO = 1e6  # a counter's quantum is found to a microjoule
_UNEQUAL = 2.0  # times between updates that differ more are not those of a periodic counter
_NEIGHBOURS = 9  # updates on each side that help to locate one; with more, the period may drift


class Reading(msgspec.Struct, frozen=True, gc=False):
    """The value of a counter at some instant between `begin_s` and `end_s`."""

    begin_s: float
    end_s: float
    energy_j: float


class Update(msgspec.Struct, frozen=True, gc=False):
    """The counter changed to a value between two instants; it was the energy at that moment."""

    earliest_s: float
    latest_s: float
    energy_j: float

    @property
    def middle_s(self) -> float:
        """Return the middle of the two instants."""
        return (self.earliest_s + self.latest_s) / 2


class Interval(msgspec.Struct, frozen=True, gc=False):
    """Joules that enclose the true energy."""

    low_j: float
    high_j: float


def find_updates(readings: Sequence[Reading], period_s: float | None = None) -> list[Update]:
    """Return every change of value, in time order.

    Args:
        readings: in time order, joules since some start.
        period_s: of the counter, if known: the maximum age of an update when it is read.
    """
    updates = []
    for i in range(1, len(readings)):
        before, here = readings[i - 1], readings[i]
        if here.energy_j == before.energy_j:
            continue
        earliest_s = before.begin_s
        if period_s is not None:
            earliest_s = max(earliest_s, here.begin_s - 1.1 * period_s)
        updates.append(Update(earliest_s, here.end_s, here.energy_j))
    return updates


def place(
    updates: Sequence[Update], i: int, period_s: float | None, jitter_s: float
) -> tuple[float, float]:
    """Return the time of update `i` and its uncertainty, both in seconds.

    Every neighbour, shifted by whole periods, limits when this update can have happened. If they
    contradict each other by more than the jitter, the counter is not periodic, and only the
    readings before and after the update are used.
    """
    update = updates[i]
    middle_s, half_s = update.middle_s, (update.latest_s - update.earliest_s) / 2
    if period_s is None or half_s <= jitter_s:
        return middle_s, half_s
    low_s, high_s = update.earliest_s, update.latest_s
    for other in updates[max(0, i - _NEIGHBOURS) : i + _NEIGHBOURS + 1]:
        n_periods = round((other.middle_s - middle_s) / period_s)
        shift_s = n_periods * period_s
        # Both updates have jitter, and the period is known to a thousandth.
        slack_s = 2 * jitter_s + 1e-3 * abs(shift_s)
        low_s = max(low_s, other.earliest_s - shift_s - slack_s)
        high_s = min(high_s, other.latest_s - shift_s + slack_s)
    if low_s > high_s:
        return middle_s, half_s
    return (low_s + high_s) / 2, (high_s - low_s) / 2


def enclose(
    readings: Sequence[Reading],
    updates: Sequence[Update],
    t_s: float,
    max_power_w: float | None = None,
    late_s: float = 0.0,
) -> Interval | None:
    """Return an interval that is certain to contain the true energy at an instant.

    Args:
        readings: in time order and not overlapping.
        updates: of the same readings.
        t_s: the instant.
        max_power_w: power that the device never exceeds for long, if known. An update just before
            or after the instant then gives a closer limit than the next update.
        late_s: an update may show the energy of up to this long before it.

    Returns:
        None if there is no reading before the instant, or no update that is certainly after it.
    """
    before = bisect_right(readings, t_s, key=lambda reading: reading.end_s) - 1
    after = bisect_left(readings, t_s + late_s, key=lambda reading: reading.begin_s)
    if before < 0 or after == len(readings):
        return None
    # The first reading after an instant may show an update from before it. Only a change between
    # two later readings is certainly an update after the instant.
    shown_j = readings[after].energy_j
    while after < len(readings) and readings[after].energy_j == shown_j:
        after += 1
    if after == len(readings):
        return None
    low_j, high_j = readings[before].energy_j, readings[after].energy_j
    if max_power_w is not None:
        # An update limits the energy at any instant: between the two the device uses at most
        # the maximum power times the time.
        nearest = bisect_left(updates, t_s, key=lambda update: update.latest_s)
        for update in updates[max(0, nearest - 1) : nearest + 1]:
            since_s = max(0.0, t_s + late_s - update.earliest_s)
            high_j = min(high_j, update.energy_j + max_power_w * since_s)
            low_j = max(low_j, update.energy_j - max_power_w * max(0.0, update.latest_s - t_s))
    return Interval(low_j, high_j) if low_j <= high_j else None


def quantum_j(updates: Sequence[Update]) -> float:
    """Return the joules of which every change of a counter is a multiple.

    A counter with a coarse quantum may show up to one quantum more or less than the true energy.

    Returns:
        One microjoule for a counter that shows finer changes; 0 if all changes are equal and come
        at equal times: then power was constant, and they show nothing.
    """
    steps = [round((b.energy_j - a.energy_j) * _MICRO) for a, b in pairwise(updates)]
    times_s = [b.middle_s - a.middle_s for a, b in pairwise(updates)]
    if len(set(steps)) <= 1 and (not steps or max(times_s) < _UNEQUAL * min(times_s)):
        return 0.0
    return math.gcd(*steps) / _MICRO


def fell(readings: Sequence[Reading], start_s: float, end_s: float) -> bool:
    """Return whether the counter fell around a window, because it was reset."""
    first = max(0, bisect_right(readings, start_s, key=lambda r: r.end_s) - 1)
    last = bisect_left(readings, end_s, key=lambda r: r.begin_s)
    around = readings[first : last + 1]
    return any(b.energy_j < a.energy_j for a, b in pairwise(around))


def rose_too_fast(updates: Sequence[Update], max_power_w: float) -> bool:
    """Return whether the counter ever rose by more than the device can draw in the time."""
    return any(
        later.energy_j - earlier.energy_j > max_power_w * (later.latest_s - earlier.earliest_s)
        for earlier, later in pairwise(updates)
    )


def longest_standstill_s(readings: Sequence[Reading], start_s: float, end_s: float) -> float:
    """Return the longest time inside a window in which every reading showed the same value.

    Time after the last reading does not count.
    """
    longest_s = 0.0
    since: Reading | None = None
    for reading in readings:
        if reading.begin_s < start_s or reading.end_s > end_s:
            continue
        if since is None or reading.energy_j != since.energy_j:
            since = reading
        longest_s = max(longest_s, reading.end_s - since.begin_s)
    return longest_s


def loaded_period_s(readings: Sequence[Reading], start_s: float, end_s: float) -> float | None:
    """Return the median time between two updates inside a window, to a reading.

    Returns:
        None if there are fewer than five updates, or readings so rare that they hide some.
    """
    inside = [each for each in readings if start_s <= each.begin_s and each.end_s <= end_s]
    times_s = [update.middle_s for update in find_updates(inside)]
    if len(times_s) < _MIN_INSIDE:
        return None
    period_s = statistics.median(later - earlier for earlier, later in pairwise(times_s))
    apart_s = statistics.median(
        later.begin_s - earlier.begin_s for earlier, later in pairwise(inside)
    )
    return period_s if period_s > _SEEN * apart_s else None


def still_after_s(readings: Sequence[Reading], end_s: float) -> float:
    """Return the longest time after a window in which every reading showed the same value."""
    after = [reading for reading in readings if reading.begin_s >= end_s]
    return longest_standstill_s(after, end_s, after[-1].end_s) if after else 0.0
