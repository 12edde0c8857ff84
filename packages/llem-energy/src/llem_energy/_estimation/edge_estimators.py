"""The energy of a window from the readings of a counter: three estimators, and how one is chosen.

*Edge read*: the value of the counter right after each end. Wrong by up to one update at each end.
*Interpolated*: power between two updates is constant, or one step that fits the energy if the
neighbouring intervals show that the load changed.
*Quiet edge*: the device idles before the start and after the end, so the energy between an end and
the nearest update outside the window is idle power, measured there, times the time between.

The first two work with any load. The third is the most accurate, and is chosen for an end where
the device idled steadily. The *bound* needs no assumption about the load: the counter never falls,
and the board never draws twice its limit for long. The *uncertainty* is narrower and holds if the
assumption of the estimator holds.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

import msgspec

from llem_energy._estimation.counter import (
    Reading,
    enclose,
    find_updates,
    rose_too_fast,
)
from llem_energy._estimation.counter_power import CounterPower
from llem_energy._estimation.idle_noise import IdleNoise
from llem_energy._estimation.window_edge import Edge, with_tail

Side = Literal["start", "end"]

_STEADY = 0.10  # idle power is steady if it changes less than this between two intervals
_STEP = 0.05  # a smaller change between neighbouring intervals is not a step of the load
_TAIL = 3.0  # before the first update after the end, power may have fallen this much faster
_EARLY_STEP = (
    19.0  # a step in the last 19 of 20 parts of an interval is at most 20 times its effect
)
_N_WORK = 7  # intervals of work, at most, that show how much its power varies
_QUANTA = 0.55  # at each end: the sum of two errors is below 0.78 quanta in 19 of 20 windows


class WindowEstimate(msgspec.Struct, frozen=True):
    """The energy of a window by one estimator."""

    method: str
    energy_j: float
    uncertainty_j: float | None
    """Holds if the assumption of the estimator holds; None if it gives none."""
    low_j: float
    high_j: float
    """`low_j` and `high_j` enclose the true energy, apart from the gain error of the sensor."""
    start_j: float
    """The energy up to the start, on the scale of the counter."""
    start_uncertainty_j: float

    @property
    def bound_j(self) -> float:
        """The maximum error, apart from the gain error of the sensor."""
        return max(self.energy_j - self.low_j, self.high_j - self.energy_j)


class CounterWindow(CounterPower):
    """The readings of a counter around a window, and the properties of the counter."""

    def __init__(
        self,
        readings: Sequence[Reading],
        *,
        period_s: float | None = None,
        jitter_s: float = 0.0,
        max_power_w: float | None = None,
        swing_w: float = 0.0,
        late_s: float = 0.0,
    ) -> None:
        """Find the updates.

        Args:
            readings: in time order, not overlapping; joules since some start.
            period_s: of the counter, if calibrated.
            jitter_s: maximum deviation of an update from its period.
            max_power_w: power that the device never exceeds for long.
            swing_w: range of power within the window, for a counter too slow to show it.
            late_s: an update may show the energy of up to this long before it.
        """
        super().__init__(readings, period_s=period_s, jitter_s=jitter_s)
        self._certain_updates = find_updates(readings)
        self._max_power_w = max_power_w
        self._swing_w = swing_w
        self._late_s = late_s

    def estimates(
        self, start_s: float, end_s: float, *, guard_s: float = 0.0
    ) -> list[WindowEstimate]:
        """Return the estimate of each estimator for a window; the best one is first.

        Args:
            start_s: start of the window.
            end_s: end of the window.
            guard_s: how long the device idled before the start and after the end.

        Returns:
            [] if the counter does not enclose the window.
        """
        # In idle, a counter that is late shows less by the same energy at all times.
        lates_s = (0.0 if guard_s else self._late_s, self._late_s)
        low, high = (
            enclose(self.readings, self._certain_updates, t_s, self._max_power_w, late_s)
            for t_s, late_s in zip((start_s, end_s), lates_s, strict=True)
        )
        if low is None or high is None:
            return []
        min_energy_j = max(0.0, high.low_j - low.high_j - self.quantum_j)
        max_energy_j = high.high_j - low.low_j + self.quantum_j
        noise = self.idle_noise(start_s, end_s, guard_s)
        starts = self._edges(start_s, "start", guard_s, noise)
        ends = self._edges(end_s, "end", guard_s, noise, self._from_work(start_s, end_s))
        chosen = (starts[0], ends[0])
        pairs = [chosen]
        for method in ("quiet edge", "interpolated", "edge read"):
            pair = [edge for edges in (starts, ends) for edge in edges if edge.method == method]
            if len(pair) == 2 and (pair[0], pair[1]) != chosen:
                pairs.append((pair[0], pair[1]))
        return [
            _window(start, end, min_energy_j, max_energy_j, self._late_s) for start, end in pairs
        ]

    def _edges(
        self,
        t_s: float,
        side: Side,
        guard_s: float,
        noise: IdleNoise | None,
        from_work: Edge | None = None,
    ) -> list[Edge]:
        quiet = self._quiet(t_s, side, guard_s, noise, from_work)
        edges = [quiet, self._interpolated(t_s), self._read(t_s)]
        return [edge for edge in edges if edge is not None]

    def _read(self, t_s: float) -> Edge:
        i = min(bisect_left(self.readings, t_s, key=lambda r: r.begin_s), len(self.readings) - 1)
        # At most one update is missing from the value; the next update shows how large one is.
        following = bisect_left(self.updates, t_s, key=lambda u: u.middle_s)
        step_j = self._step_j(min(following, len(self.updates) - 1)) if self.updates else 0.0
        return Edge("edge read", self.readings[i].energy_j, abs(step_j))

    def _interpolated(self, t_s: float) -> Edge | None:
        after = self.first_after(t_s)
        if after is None or after == 0:
            return None
        (begin_s, begin_off_s), (end_s, end_off_s) = self.place_of(after - 1), self.place_of(after)
        shown_j, length_s = self.updates[after - 1].energy_j, end_s - begin_s
        if length_s <= 0:
            return None
        mean_w = (self.updates[after].energy_j - shown_j) / length_s
        if mean_w < 0:
            return None  # it was reset in between
        elapsed_s = t_s - begin_s
        linear_j = step_j = mean_w * elapsed_s
        before_w, after_w = self.mean_w(after - 1), self.mean_w(after + 1)
        if before_w is not None and after_w is not None:
            change_w = after_w - before_w
            between = (mean_w - before_w) * (after_w - mean_w) >= 0
            if between and abs(change_w) > _STEP * mean_w:
                at_s = (after_w - mean_w) / change_w * length_s
                step_j = before_w * min(elapsed_s, at_s) + after_w * max(0.0, elapsed_s - at_s)
        # A timing error times power is an energy error. And between unlike intervals the load is
        # unknown, which matters more with the distance from an update.
        powers = [p for p in (before_w, mean_w, after_w) if p is not None and p >= 0]
        timing_j = max(begin_off_s, end_off_s) * max(powers)
        inside_s = max(0.0, min(elapsed_s, length_s - elapsed_s))
        swing_w = max(self._swing_w, max(powers) - min(powers))
        shape_j = max(abs(step_j - linear_j), swing_w * inside_s) / 2
        uncertainty_j = math.hypot(timing_j, shape_j, _QUANTA * self.quantum_j)
        return Edge("interpolated", shown_j + step_j, uncertainty_j, mean_w)

    def _from_work(self, start_s: float, end_s: float) -> Edge | None:
        """Return the energy up to the end if the power of the work did not change until then.

        Its variations in the last intervals show how uncertain that is.
        """
        first, after = self.first_after(start_s), self.first_after(end_s)
        if first is None or after is None:
            return None
        intervals = range(max(first + 1, after - _N_WORK), after)
        noise = self.noise_of(intervals)
        if noise is None:
            return None
        (last_s, off_s), last_w = (
            self.place_of(after - 1),
            self.power_w(intervals[0] - 1, after - 1),
        )
        if last_w is None:
            return None
        elapsed_s, length_s = end_s - last_s, last_s - self.time_s(after - 2)
        uncertainty_j = math.hypot(
            noise.likely_j(elapsed_s, length_s), off_s * last_w, _QUANTA * self.quantum_j
        )
        energy_j = self.updates[after - 1].energy_j + last_w * elapsed_s
        return Edge("interpolated", energy_j, uncertainty_j)

    def _quiet(
        self,
        t_s: float,
        side: Side,
        guard_s: float,
        noise: IdleNoise | None,
        from_work: Edge | None,
    ) -> Edge | None:
        """Subtract idle power between the edge and the nearest update outside the window."""
        after = self.first_after(t_s)
        if after is None:
            return None
        nearest, step = (after - 1, -1) if side == "start" else (after, 1)
        second, third = nearest + step, nearest + 2 * step
        if min(nearest, third) < 0 or max(nearest, third) >= len(self.updates):
            return None
        places = [self.place_of(i) for i in (nearest, second, third)]
        if abs(places[2][0] - t_s) > guard_s + places[2][1]:
            return None  # the guard was too short to measure idle power twice
        near_w, far_w = self.power_w(nearest, second), self.power_w(second, third)
        if near_w is None or far_w is None or near_w < 0 or far_w < 0:
            return None
        fall_w = max(0.0, near_w - far_w) if side == "end" else 0.0
        # With a coarse quantum, the power of an interval is hardly known.
        rounding = self.read_noise(max(nearest, second), max(second, third))
        is_steady = abs(near_w - far_w) <= _STEADY * max(near_w, far_w)
        if side == "start" and not (is_steady or rounding.explains(near_w - far_w)):
            return None
        outside_s, off_s = abs(places[0][0] - t_s), places[0][1]
        idle_j = near_w * (places[0][0] - t_s)  # negative at the start
        fallen = self._fallen(nearest, outside_s, fall_w, noise or rounding, from_work is not None)
        if fallen is None:
            return None
        more_j, fallen_j, step_j = fallen
        idle_j += more_j
        length_s = abs(places[1][0] - places[0][0])
        if noise is not None:
            spread_j = noise.own_likely_j(outside_s, length_s)
        else:
            spread_j = outside_s * max(abs(near_w - far_w), _STEADY * near_w)
        # The error of the nearest update changes idle power too, in the same direction.
        share = outside_s / length_s
        rounding_j = self.rounding_j(nearest, second, outside_s if side == "end" else math.inf)
        # Two such errors add up to less in 19 of 20 windows.
        update_j = (
            math.hypot(1 + share, share) * _QUANTA * math.hypot(rounding_j, 2 * off_s * near_w)
        )
        # If the update is really on the other side of the edge, it counted load, not idle power.
        load_w = self.mean_w(after + (1 if side == "start" else 0)) or near_w
        update = self.updates[nearest]
        beyond_s = update.latest_s - t_s if side == "start" else t_s - update.earliest_s
        # One that is late shows what was used before it, which at the end may be load too.
        late_s = self._late_s if side == "end" else 0.0
        inside_j = max(0.0, min(off_s - outside_s, beyond_s) + late_s) * load_w
        uncertainty_j = math.hypot(spread_j, fallen_j, update_j, inside_j)
        quiet = Edge("quiet edge", self.updates[nearest].energy_j - idle_j, uncertainty_j, near_w)
        return quiet if from_work is None else with_tail(quiet, from_work, step_j)

    def _fallen(
        self, after: int, outside_s: float, fall_w: float, noise: IdleNoise, has_work: bool
    ) -> tuple[float, float, float | None] | None:
        """Return what a fall of power adds before an update, its uncertainty, and what a step adds at most.

        Returns:
            None if it is too steep a step, so that the power before the update is not known.
        """
        if fall_w <= 0:
            return 0.0, 0.0, None
        if noise.explains(fall_w):
            return 0.0, _TAIL * fall_w * outside_s, None
        fall = self.fall(after, outside_s, noise.likely_w)
        if fall is not None:
            return (*fall, None)
        if _TAIL * fall_w > (self.mean_w(after + 1) or 0.0):
            return None
        most_j = self.max_fallen_j(after, outside_s)
        # The work shows how much power there was before the step. Without it, the step is anywhere.
        possible_j = 0.0 if has_work else min(_EARLY_STEP * fall_w * outside_s, most_j)
        return 0.0, possible_j, most_j

    def _step_j(self, i: int) -> float:
        return self.updates[i].energy_j - self.updates[i - 1].energy_j if i > 0 else 0.0

    @property
    def rose_too_fast(self) -> bool:
        """Whether it rose faster than the device can draw; False if the maximum is not known."""
        limit_w = self._max_power_w
        return limit_w is not None and rose_too_fast(self._certain_updates, limit_w)


def _window(
    start: Edge, end: Edge, min_energy_j: float, max_energy_j: float, late_s: float
) -> WindowEstimate:
    method: str = start.method
    if start.method != end.method:
        method = f"{start.method} at the start, {end.method} at the end"
    energy_j = min(max(end.energy_j - start.energy_j, min_energy_j), max_energy_j)
    # No error can exceed the bound, which needs no assumption.
    bound_j = max(energy_j - min_energy_j, max_energy_j - energy_j)
    # The errors of the two ends have nothing in common, except that both are late.
    known = start.power_w is not None and end.power_w is not None
    late_j = late_s * abs((end.power_w or 0.0) - (start.power_w or 0.0)) if known else 0.0
    uncertainty_j = min(math.hypot(start.uncertainty_j, end.uncertainty_j) + late_j, bound_j)
    return WindowEstimate(
        method, energy_j, uncertainty_j, min_energy_j, max_energy_j, start.energy_j,
        start.uncertainty_j,
    )  # fmt: skip
