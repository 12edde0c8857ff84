"""The times of a counter's updates, the mean power between them, and how much either is off."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from llem_energy._estimation.counter import Reading, find_updates, place, quantum_j
from llem_energy._estimation.end_fall import fall_j, is_confirmed
from llem_energy._estimation.idle_noise import IdleNoise, idle_noise

_FALL = 0.1  # of what a fall adds before the first update after the end: the model may be wrong
_QUANTUM_J = 0.001  # the resolution of a driver's counter, or finer
_A_TICK = 0.8  # of the shortest time between two updates: a smaller jitter is none of whole ticks
_UNIFORM = 3**-0.5  # standard deviation of a number between -1 and 1


class CounterPower:
    """The readings of a counter as power between its updates."""

    def __init__(
        self, readings: Sequence[Reading], *, period_s: float | None = None, jitter_s: float = 0.0
    ) -> None:
        """Find the updates.

        Args:
            readings: in time order, not overlapping; joules since some start.
            period_s: of the counter, if calibrated.
            jitter_s: maximum deviation of an update from its period.
        """
        self.readings = readings
        # An update that is late by its jitter is this much older when it is read.
        self.updates = find_updates(readings, period_s and period_s + jitter_s)
        self.quantum_j = max(_QUANTUM_J, quantum_j(self.updates))
        self._period_s = period_s
        self._jitter_s = jitter_s
        self._places: dict[int, tuple[float, float]] = {}

    def first_after(self, t_s: float) -> int | None:
        """Return the number of the first update after an instant; None if there is none."""
        i = bisect_left(self.updates, t_s, key=lambda update: update.earliest_s)
        i = max(0, i - 2)
        while i < len(self.updates) and self.place_of(i)[0] <= t_s:
            i += 1
        return i if i < len(self.updates) else None

    def time_s(self, i: int) -> float:
        """Return the estimated time of an update."""
        return self.place_of(i)[0]

    def place_of(self, i: int) -> tuple[float, float]:
        """Return the estimated time of an update, and its largest error."""
        if i not in self._places:
            self._places[i] = place(self.updates, i, self._period_s, self._jitter_s)
        return self._places[i]

    def mean_w(self, i: int) -> float | None:
        """Return the mean power between update i - 1 and update i."""
        return self.power_w(i - 1, i) if 0 < i < len(self.updates) else None

    def power_w(self, i: int, j: int) -> float | None:
        """Return the mean power between two updates, in either order."""
        first, last = sorted((i, j))
        length_s = self.place_of(last)[0] - self.place_of(first)[0]
        rise_j = self.updates[last].energy_j - self.updates[first].energy_j
        return rise_j / length_s if length_s > 0 else None

    def fall(
        self, after: int, outside_s: float, likely_w: float = 0.0
    ) -> tuple[float, float] | None:
        """Return the energy of a fall of power between the end of a window and an update.

        Args:
            after: number of the first update after the end.
            outside_s: between the end and this update.
            likely_w: error (95 %) of the mean power of an interval.

        Returns:
            What is above the power of the first interval after that update, and its uncertainty.
            None if the next four intervals do not confirm that power fell before the update as it
            did after it.
        """
        powers = [w for i in range(after + 1, after + 5) if (w := self.mean_w(i)) is not None]
        if len(powers) < 4 or not is_confirmed(powers, likely_w):
            return None
        length_s = self.time_s(after + 1) - self.time_s(after)
        max_j = self.max_fallen_j(after, outside_s)
        more_j = min(max_j, fall_j(powers[:3], outside_s, length_s))
        changes_j = [
            fall_j([w + likely_w * (i == k) for i, w in enumerate(powers[:3])], outside_s, length_s)
            for k in range(3)
        ]
        noise_j = math.hypot(*(min(max_j, each) - more_j for each in changes_j))
        return more_j, math.hypot(_FALL * more_j, noise_j)

    def max_fallen_j(self, after: int, outside_s: float) -> float:
        """Return the energy above that of the interval after an update at the power of the work.

        Args:
            after: number of the first update after the end of the work.
            outside_s: between the end and this update.
        """
        near_w = self.mean_w(after + 1) or 0.0
        return max(0.0, (self.mean_w(after - 1) or near_w) - near_w) * outside_s

    def idle_noise(self, start_s: float, end_s: float, guard_s: float) -> IdleNoise | None:
        """Return how much power varies in the idle times before and after a window.

        After it, intervals count until one differs by more than power varied before: there it falls.
        """
        at_start, at_end = self.first_after(start_s) or 0, self.first_after(end_s)
        first = at_start
        while first > 0 and self.time_s(first - 1) >= start_s - guard_s:
            first -= 1
        before = range(first + 1, at_start)
        at_first = self.noise_of(before)
        if at_first is None or at_end is None or at_end + 1 >= len(self.updates):
            return at_first
        i = at_end + 2
        while i < len(self.updates) and self.time_s(i) <= end_s + guard_s:
            change_w = (self.mean_w(i) or 0.0) - (self.mean_w(i - 1) or 0.0)
            if not at_first.explains(change_w):
                break
            i += 1
        return self.noise_of(before, range(at_end + 1, i))

    def noise_of(self, *intervals: range) -> IdleNoise | None:
        """Return how much power varies in intervals, each named by the update at its end."""
        powers = [[self.mean_w(i) or 0.0 for i in each] for each in intervals]
        return idle_noise(
            powers, max((self._read_w(i) for each in intervals for i in each), default=0.0)
        )

    def rounding_j(self, i: int, j: int, outside_s: float) -> float:
        """Return by how much the energy at an idle update may differ from what is shown there.

        A counter with a coarse quantum is updated at the first tick of its clock after the energy has
        passed a multiple of the quantum, so it hides at most the energy of a tick. The times between
        such updates differ by whole ticks: a tick is not longer than the jitter.

        Args:
            i: number of the update.
            j: number of the update next to it, on the side that is idle.
            outside_s: from the end of the work to update i.
        """
        length_s = abs(self.time_s(j) - self.time_s(i))
        rise_j = abs(self.updates[j].energy_j - self.updates[i].energy_j)
        is_next_multiple = rise_j < 1.5 * self.quantum_j
        times_s = [update.middle_s for update in self.updates]
        shortest_s = min(later_s - earlier_s for earlier_s, later_s in pairwise(times_s))
        has_ticks = _A_TICK * shortest_s <= self._jitter_s <= min(length_s, outside_s)
        if not (is_next_multiple and has_ticks):
            return self.quantum_j
        return self.quantum_j * self._jitter_s / length_s

    def read_noise(self, *intervals: int) -> IdleNoise:
        """Return how much power seems to vary in these intervals, because of errors of updates only."""
        return IdleNoise(0.0, max(map(self._read_w, intervals)), 1)

    def change_error_w(self, i: int) -> float:
        """Return the standard deviation of the change of power at update i, by errors of updates."""
        # Apart from their errors, both powers may be the same one.
        watts = max(self.mean_w(i) or 0.0, self.mean_w(i + 1) or 0.0)
        before_w, after_w = self._read_w(i, watts), self._read_w(i + 1, watts)
        # They share update i, whose errors add up.
        return math.hypot(before_w, after_w, before_w + after_w)

    def _read_w(self, i: int, watts: float | None = None) -> float:
        """Return by how much the error of an update changes the power of the interval before it."""
        length_s = self.time_s(i) - self.time_s(i - 1)
        if length_s <= 0:
            return 0.0
        late_j = _UNIFORM * self.place_of(i)[1] * (watts or self.mean_w(i) or 0.0)
        return math.hypot(late_j, _UNIFORM / 2 * self.quantum_j) / length_s
