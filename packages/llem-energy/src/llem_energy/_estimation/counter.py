"""What a cumulative energy counter says about the energy up to an instant.

A counter steps: between two updates it shows the energy up to the last one. It never falls, so
what it showed before an instant and what it shows after its next update enclose the truth at that
instant, whatever the load does. When an update came is known only to lie between two readings;
since updates come at a nearly constant period, neighbouring ones narrow that down.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

_NEIGHBOURS = 9  # updates on either side that help to place one; more would feel a drifting period


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a counter showed at some instant between `begin_s` and `end_s`."""

    begin_s: float
    end_s: float
    energy_j: float


class Update(msgspec.Struct, frozen=True, gc=False):
    """The counter came to a value between two instants; the value is the energy at that moment."""

    earliest_s: float
    latest_s: float
    energy_j: float

    @property
    def middle_s(self) -> float:
        """Return the middle of the two instants."""
        return (self.earliest_s + self.latest_s) / 2


class Interval(msgspec.Struct, frozen=True, gc=False):
    """Joules that enclose a truth."""

    low_j: float
    high_j: float


def find_updates(readings: Sequence[Reading], period_s: float | None = None) -> list[Update]:
    """Return every change of value, in time order.

    Args:
        readings: in time order, joules since some start.
        period_s: of the counter, if known: a reading then shows an update at most so old.
    """
    found = []
    for i in range(1, len(readings)):
        before, here = readings[i - 1], readings[i]
        if here.energy_j == before.energy_j:
            continue
        earliest_s = before.begin_s
        if period_s is not None:
            earliest_s = max(earliest_s, here.begin_s - 1.1 * period_s)
        found.append(Update(earliest_s, here.end_s, here.energy_j))
    return found


def place(
    updates: Sequence[Update], i: int, period_s: float | None, jitter_s: float
) -> tuple[float, float]:
    """Return when update `i` came and how far off that may be, in seconds.

    Every neighbour, shifted by whole periods, says where this update can have been. Where they
    contradict each other by more than the jitter, the counter is not periodic, and the update's
    own two readings are all there is.
    """
    own = updates[i]
    middle_s, half_s = own.middle_s, (own.latest_s - own.earliest_s) / 2
    if period_s is None or half_s <= jitter_s:
        return middle_s, half_s
    low_s, high_s = own.earliest_s, own.latest_s
    for other in updates[max(0, i - _NEIGHBOURS) : i + _NEIGHBOURS + 1]:
        n_periods = round((other.middle_s - middle_s) / period_s)
        shift_s = n_periods * period_s
        # Both updates stray; and a period known to a thousandth is this far off after so many.
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
) -> Interval | None:
    """Return what surely encloses the counter's truth at an instant.

    Args:
        readings: in time order and not overlapping.
        updates: of the same readings.
        t_s: the instant.
        max_power_w: power that the device never exceeds for long, if known: then an update just before
            or after the instant encloses it more closely than the counter's next one.

    Returns:
        None where the counter does not say it: no reading before the instant, or no update that
        is surely after it (it stands still, or is gone).
    """
    before = bisect_right(readings, t_s, key=lambda reading: reading.end_s) - 1
    after = bisect_left(readings, t_s, key=lambda reading: reading.begin_s)
    if before < 0 or after == len(readings):
        return None
    # The first reading after an instant may show an update from before it, which says nothing of
    # the truth at the instant. Only a change between two readings that are both later does.
    shown_j = readings[after].energy_j
    while after < len(readings) and readings[after].energy_j == shown_j:
        after += 1
    if after == len(readings):
        return None
    low_j, high_j = readings[before].energy_j, readings[after].energy_j
    if max_power_w is not None:
        # An update that came at `u` bounds any instant: the energy between differs by no more
        # than the most power times the time between, on whichever side of the instant it lies.
        nearest = bisect_left(updates, t_s, key=lambda update: update.latest_s)
        for update in updates[max(0, nearest - 1) : nearest + 1]:
            high_j = min(high_j, update.energy_j + max_power_w * max(0.0, t_s - update.earliest_s))
            low_j = max(low_j, update.energy_j - max_power_w * max(0.0, update.latest_s - t_s))
    return Interval(low_j, high_j) if low_j <= high_j else None


def fell(readings: Sequence[Reading], start_s: float, end_s: float) -> bool:
    """Tell whether the counter lost energy around a window: it was reset."""
    first = max(0, bisect_right(readings, start_s, key=lambda r: r.end_s) - 1)
    last = bisect_left(readings, end_s, key=lambda r: r.begin_s)
    around = readings[first : last + 1]
    return any(b.energy_j < a.energy_j for a, b in pairwise(around))


def leapt(updates: Sequence[Update], max_power_w: float) -> bool:
    """Tell whether the counter once rose by more than the device can have drawn since before."""
    return any(
        later.energy_j - earlier.energy_j > max_power_w * (later.latest_s - earlier.earliest_s)
        for earlier, later in pairwise(updates)
    )


def longest_standstill_s(readings: Sequence[Reading], start_s: float, end_s: float) -> float:
    """Return the longest time inside a window over which every reading showed the same value.

    Time that nobody read in is no standstill.
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
