"""The energy of a window from a counter's readings: three estimators, and the rule among them.

*Edge read*: what the counter showed right after each end. Wrong by up to one update at each.
*Interpolated*: between two updates the power is taken as constant or, where the intervals on
either side show that the load changed in between, as one step placed so that the energy fits.
*Quiet edge*: the device idles before the start and after the end, so the energy between the edge
and the nearest update outside is idle power, measured there, times the time between.

The first two need nothing of the load; the third is the most exact, and is chosen for an end
where the device was seen to be steady. Whichever is chosen, the *bound* needs no assumption about
the load: the counter never falls, and the board never draws twice its limit for long. The
*uncertainty* is the estimator's own, narrower, and holds as far as its assumption does.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal

import msgspec

from llem_energy._estimation.counter import Reading, enclose, find_updates, leapt, place

EdgeMethod = Literal["edge read", "interpolated", "quiet edge"]
Side = Literal["start", "end"]

_STEADY = 0.10  # change of idle power between two intervals of a guard that still counts as steady
_STEP = 0.05  # smaller changes between neighbouring intervals are no step of the load
_TAIL = 4.0  # how much faster than between the updates seen, power may have fallen before them
_QUANTUM_J = 0.001  # the finest a driver's counter shows


class Edge(msgspec.Struct, frozen=True):
    """The energy up to one end of a window, on the counter's own scale."""

    method: EdgeMethod
    energy_j: float
    uncertainty_j: float


class WindowEstimate(msgspec.Struct, frozen=True):
    """The energy of a window by one estimator."""

    method: str
    energy_j: float
    uncertainty_j: float | None
    """Holds as far as the estimator's assumption does; None where it has no opinion."""
    low_j: float
    high_j: float
    """These enclose the truth, the sensor's gain error apart."""

    @property
    def bound_j(self) -> float:
        """Return the largest possible error, sensor gain apart."""
        return max(self.energy_j - self.low_j, self.high_j - self.energy_j)


class CounterWindow:
    """The readings of one device's counter around a window, and what is known of the counter."""

    def __init__(
        self,
        readings: Sequence[Reading],
        *,
        period_s: float | None = None,
        jitter_s: float = 0.0,
        max_power_w: float | None = None,
        swing_w: float = 0.0,
    ) -> None:
        """Take readings in time order.

        Args:
            readings: not overlapping; joules since some start.
            period_s: of the counter's updates, if calibrated.
            jitter_s: how far an update strays from its period.
            max_power_w: power that the device never exceeds for long.
            swing_w: how far power went up and down between two updates of a slow counter, which
                its own steps do not show.
        """
        self._readings = readings
        self._surely = find_updates(readings)
        self.updates = find_updates(readings, period_s)
        self._period_s = period_s
        self._jitter_s = jitter_s
        self._max_power_w = max_power_w
        self._swing_w = swing_w
        self._places: dict[int, tuple[float, float]] = {}

    def estimates(
        self, start_s: float, end_s: float, *, guard_s: float = 0.0
    ) -> list[WindowEstimate]:
        """Return what each estimator says of a window, the one to be used first.

        Args:
            start_s: start of the window.
            end_s: end of the window.
            guard_s: how long the device was left alone before the start and after the end.

        Returns:
            [] where the counter does not enclose the window.
        """
        low = enclose(self._readings, self._surely, start_s, self._max_power_w)
        high = enclose(self._readings, self._surely, end_s, self._max_power_w)
        if low is None or high is None:
            return []
        min_energy_j = max(0.0, high.low_j - low.high_j - _QUANTUM_J)
        max_energy_j = high.high_j - low.low_j + _QUANTUM_J
        starts, ends = self._edges(start_s, "start", guard_s), self._edges(end_s, "end", guard_s)
        chosen = (starts[0], ends[0])
        pairs = [chosen]
        for method in ("quiet edge", "interpolated", "edge read"):
            pair = [edge for edges in (starts, ends) for edge in edges if edge.method == method]
            if len(pair) == 2 and (pair[0], pair[1]) != chosen:
                pairs.append((pair[0], pair[1]))
        return [_window(start, end, min_energy_j, max_energy_j) for start, end in pairs]

    def _edges(self, t_s: float, side: Side, guard_s: float) -> list[Edge]:
        found = [self._quiet(t_s, side, guard_s), self._interpolated(t_s), self._read(t_s)]
        return [edge for edge in found if edge is not None]

    def _read(self, t_s: float) -> Edge:
        i = min(bisect_left(self._readings, t_s, key=lambda r: r.begin_s), len(self._readings) - 1)
        # One update may have been missed at most, and what an update brings shows in the next.
        following = bisect_left(self.updates, t_s, key=lambda u: u.middle_s)
        step_j = self._step_j(min(following, len(self.updates) - 1)) if self.updates else 0.0
        return Edge("edge read", self._readings[i].energy_j, abs(step_j))

    def _interpolated(self, t_s: float) -> Edge | None:
        after = self._first_after(t_s)
        if after is None or after == 0:
            return None
        (begin_s, begin_off_s), (end_s, end_off_s) = self._at(after - 1), self._at(after)
        shown_j, length_s = self.updates[after - 1].energy_j, end_s - begin_s
        if length_s <= 0:
            return None
        mean_w = (self.updates[after].energy_j - shown_j) / length_s
        if mean_w < 0:
            return None  # it was reset in between
        elapsed_s = t_s - begin_s
        linear_j = step_j = mean_w * elapsed_s
        before_w, after_w = self._power(after - 1), self._power(after + 1)
        if before_w is not None and after_w is not None:
            change_w = after_w - before_w
            between = (mean_w - before_w) * (after_w - mean_w) >= 0
            if between and abs(change_w) > _STEP * mean_w:
                at_s = (after_w - mean_w) / change_w * length_s
                step_j = before_w * min(elapsed_s, at_s) + after_w * max(0.0, elapsed_s - at_s)
        # Timing errors shift the energy by power; and inside an interval between unlike ones the
        # load may have been anything in between, the longer the farther from an update.
        powers = [p for p in (before_w, mean_w, after_w) if p is not None and p >= 0]
        timing_j = max(begin_off_s, end_off_s) * max(powers)
        inside_s = max(0.0, min(elapsed_s, length_s - elapsed_s))
        swing_w = max(self._swing_w, max(powers) - min(powers))
        shape_j = max(abs(step_j - linear_j), swing_w * inside_s) / 2
        uncertainty_j = timing_j + shape_j + _QUANTUM_J
        return Edge("interpolated", shown_j + step_j, uncertainty_j)

    def _quiet(self, t_s: float, side: Side, guard_s: float) -> Edge | None:
        """Take idle power off between the edge and the nearest update outside the window."""
        after = self._first_after(t_s)
        if after is None:
            return None
        nearest, step = (after - 1, -1) if side == "start" else (after, 1)
        second, third = nearest + step, nearest + 2 * step
        if min(nearest, third) < 0 or max(nearest, third) >= len(self.updates):
            return None
        places = [self._at(i) for i in (nearest, second, third)]
        if abs(places[2][0] - t_s) > guard_s + places[2][1]:
            return None  # the guard was too short to see idle power twice
        near_w, far_w = self._between(nearest, second), self._between(second, third)
        if near_w is None or far_w is None or near_w < 0 or far_w < 0:
            return None
        fall_w = max(0.0, near_w - far_w)
        if side == "start" and abs(near_w - far_w) > _STEADY * max(near_w, far_w):
            return None
        if side == "end" and _TAIL * fall_w > near_w:
            return None  # still falling steeply: how much of it lies before the update is unclear
        outside_s = places[0][0] - t_s  # negative at the start
        idle_j = near_w * outside_s
        spread_w = max(_TAIL * fall_w, abs(near_w - far_w), _STEADY * near_w)
        off_s = places[0][1]
        # Where the update lies on the other side of the edge, it is the load that was counted.
        load_w = self._power(after + (1 if side == "start" else 0)) or near_w
        timing_j = off_s * max(near_w + spread_w, load_w)
        uncertainty_j = abs(outside_s) * spread_w + timing_j + _QUANTUM_J
        return Edge("quiet edge", self.updates[nearest].energy_j - idle_j, uncertainty_j)

    def _first_after(self, t_s: float) -> int | None:
        i = bisect_left(self.updates, t_s, key=lambda update: update.earliest_s)
        i = max(0, i - 2)
        while i < len(self.updates) and self._at(i)[0] <= t_s:
            i += 1
        return i if i < len(self.updates) else None

    def _at(self, i: int) -> tuple[float, float]:
        if i not in self._places:
            self._places[i] = place(self.updates, i, self._period_s, self._jitter_s)
        return self._places[i]

    def _step_j(self, i: int) -> float:
        return self.updates[i].energy_j - self.updates[i - 1].energy_j if i > 0 else 0.0

    @property
    def leapt(self) -> bool:
        """Whether it rose faster than the device can draw; never where that is not known."""
        return self._max_power_w is not None and leapt(self._surely, self._max_power_w)

    def _power(self, i: int) -> float | None:
        """Return the mean power between update i - 1 and update i."""
        return self._between(i - 1, i) if 0 < i < len(self.updates) else None

    def _between(self, one: int, other: int) -> float | None:
        first, last = sorted((one, other))
        length_s = self._at(last)[0] - self._at(first)[0]
        rise_j = self.updates[last].energy_j - self.updates[first].energy_j
        return rise_j / length_s if length_s > 0 else None


def _window(start: Edge, end: Edge, min_energy_j: float, max_energy_j: float) -> WindowEstimate:
    method: str = start.method
    if start.method != end.method:
        method = f"{start.method} at the start, {end.method} at the end"
    energy_j = min(max(end.energy_j - start.energy_j, min_energy_j), max_energy_j)
    # No estimator can be more wrong than the bound, which needs no assumption of its own.
    bound_j = max(energy_j - min_energy_j, max_energy_j - energy_j)
    uncertainty_j = min(start.uncertainty_j + end.uncertainty_j, bound_j)
    return WindowEstimate(method, energy_j, uncertainty_j, min_energy_j, max_energy_j)
