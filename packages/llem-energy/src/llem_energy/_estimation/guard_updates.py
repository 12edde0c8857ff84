"""What the updates of a counter after a window show, compared with instant power."""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import dropwhile, pairwise

from llem_energy._estimation.edge_estimators import CounterWindow
from llem_energy._estimation.power_integral import Point
from llem_energy._metering.span import Span

IDLE_CHANGE = 0.05  # idle power before and after the window differ by this share at least
STRETCH_S = 0.07  # power over a shorter time depends too much on when the counter was read
ABOVE_SHARE, ABOVE_W = 0.10, 10.0  # counter and sensor of power differ by less than either
_USUAL_GAIN = 1.5  # of a counter over the sensor in idle, compared with that under load
_LOAD_S = (0.2, 0.1, 0.0)  # before the end: two readings of the work
_AFTER_S = (0.03, 0.05)  # a reading by then is newer than the end, by half of the sensor's period
_STILL_LOADED = 0.95  # of the power of the work, which varies


def mean_w(powers: Sequence[Point], from_s: float, to_s: float) -> float | None:
    """Return mean instant power between two instants; None if it was not read."""
    first = bisect_left(powers, from_s, key=lambda point: point[0])
    last = bisect_right(powers, to_s, key=lambda point: point[0])
    values = [watts for _, watts in powers[first:last]]
    return statistics.fmean(values) if values else None


class GuardUpdates:
    """The updates after a window, from number `first` to number `last`."""

    def __init__(
        self, counter: CounterWindow, powers: Sequence[Point], first: int, last: int
    ) -> None:
        self._counter, self._powers = counter, powers
        self._first, self._last = first, last
        self._times_s = [counter.time_s(i) for i in range(first, last + 1)]

    def idle_w(self) -> float | None:
        """Return the power of the last updates."""
        return self._counter.power_w(self._idle_from(), self._last)

    def _idle_from(self) -> int:
        i = self._last - 1
        while i > self._first + 1 and self._time_s(self._last) - self._time_s(i) < STRETCH_S:
            i -= 1
        return i

    def _time_s(self, i: int) -> float:
        return self._times_s[i - self._first]

    def after_j(self, idle_w: float) -> float:
        """Return the rise of the counter above idle power, after its first update."""
        updates = self._counter.updates
        rise_j = updates[self._last].energy_j - updates[self._first].energy_j
        return rise_j - idle_w * (self._time_s(self._last) - self._time_s(self._first))

    def is_late(
        self, span: Span, energy_j: float, idles_w: Sequence[float], base_w: float | None
    ) -> bool:
        """Return whether the counter rose more than a board can have used that is idle so soon.

        Args:
            span: the window.
            energy_j: of the window, about.
            idles_w: idle power of the counter after and before the window.
            base_w: idle power of the sensor before the window.
        """
        if base_w is None:
            return False
        base_w = max(base_w, self._later_w(idles_w[0], idles_w[-1], base_w) or base_w)
        idle_sensor_w = base_w + max(ABOVE_W, ABOVE_SHARE * base_w)
        after = bisect_left(self._powers, span.end_s, key=lambda point: point[0])
        until = bisect_right(self._powers, self._times_s[-1], key=lambda point: point[0])
        points = list(dropwhile(lambda p: p[1] > idle_sensor_w, self._powers[after:until]))
        if not points or any(watts > idle_sensor_w for _, watts in points):
            return False  # it was not idle, or something else began
        idle_at_s = points[0][0]
        last_w = self._powers[after - 1][1] if after else 0.0
        loaded_w = max(last_w, energy_j / (span.end_s - span.start_s)) - min(idles_w)
        # From the first update on: what is in it may have been used before the end.
        tail_j = loaded_w * max(0.0, idle_at_s - self._time_s(self._first))
        guard_s = self._time_s(self._last) - self._time_s(self._first)
        tolerance_j = max(ABOVE_W * STRETCH_S, IDLE_CHANGE * max(idles_w) * guard_s)
        tolerance_j += self._counter.quantum_j
        return min(map(self.after_j, idles_w)) > tail_j + tolerance_j

    def _idle_sensor_w(self) -> float | None:
        """Return instant power next to the last updates."""
        return mean_w(self._powers, self._time_s(self._idle_from()), self._time_s(self._last))

    def _later_w(self, idle_w: float, before_w: float | None, base_w: float | None) -> float | None:
        """Return idle power of the sensor after the window.

        The sensor may not have reached it. It rose no more than that of the counter did.
        """
        later_w = self._idle_sensor_w()
        if later_w is None or before_w is None or base_w is None:
            return later_w
        return min(later_w, base_w + max(0.0, idle_w - before_w))

    def power_fell(self, span: Span, since_s: float, base_w: float | None) -> bool:
        """Return whether instant power had begun to fall to idle soon after the window.

        If it had not, the sensor may be as late as the counter, and says nothing about it.

        Args:
            span: the window.
            since_s: instant power is free of the work from then on.
            base_w: idle power of the sensor before the window.
        """
        # The newest readings of the work, of which the first may be of a prefill.
        parts = [
            mean_w(self._powers, span.end_s - from_s, span.end_s - to_s)
            for from_s, to_s in pairwise(_LOAD_S)
        ]
        load_w = min((watts for watts in parts if watts is not None), default=None)
        after_w = mean_w(self._powers, since_s + _AFTER_S[0], since_s + _AFTER_S[1])
        if load_w is None or after_w is None or base_w is None:
            return True
        return after_w - base_w <= _STILL_LOADED * (load_w - base_w)

    def power_after_j(self) -> float | None:
        """Return the same from instant power."""
        from_s, to_s = self._time_s(self._first), self._time_s(self._last)
        mean = mean_w(self._powers, from_s, to_s)
        idle_w = self._idle_sensor_w()
        if mean is None or idle_w is None:
            return None
        return (mean - idle_w) * (to_s - from_s)

    def was_unsettled(
        self, before_w: float | None, base_w: float | None, idle_w: float, gain: float
    ) -> bool:
        """Return whether the counter still showed earlier work when the window opened.

        Args:
            before_w: power of the counter before the window.
            base_w: idle power of the sensor before the window.
            idle_w: power of the counter after the window.
            gain: power of the counter in the window as a multiple of the sensor's.
        """
        later_w = self._idle_sensor_w()
        if before_w is None or base_w is None or later_w is None:
            return False
        # A sensor may see less of the board than the counter, before and after the window alike.
        is_usual = idle_w <= _USUAL_GAIN * max(1.0, gain) * later_w
        usual_w = max(0.0, idle_w - later_w) if is_usual else 0.0
        limit_w = max(ABOVE_W, ABOVE_SHARE * base_w) + self._rounding_w()
        return before_w - base_w - usual_w > limit_w

    def _rounding_w(self) -> float:
        """Return by how much rounding may change the power of a short time."""
        return self._counter.quantum_j / STRETCH_S

    def compare(
        self, since_s: float, before_w: float | None, base_w: float | None, idle_w: float
    ) -> tuple[bool, bool]:
        """Return whether the counter lags, and whether instant power shows that power falls slowly.

        Args:
            since_s: instant power is free of the work from then on.
            before_w: idle power of the counter before the window.
            base_w: idle power of the sensor before the window.
            idle_w: idle power of the counter after the window.
        """
        first = self._first
        while first < self._last and self._time_s(first) < since_s:
            first += 1
        end = first
        # A higher idle power than before is one of both meters, and no lag.
        near_w = (1 + IDLE_CHANGE) * idle_w
        while end < self._last:
            end += 1
            if (self._counter.power_w(end - 1, end) or 0.0) <= near_w:
                break
        counter_w = self._counter.power_w(first, end) if end > first else None
        sensor_w = mean_w(self._powers, self._time_s(first), self._time_s(end))
        later_w = self._later_w(idle_w, before_w, base_w)
        if counter_w is None or sensor_w is None or later_w is None:
            return False, False
        later_w = min(later_w, sensor_w)  # which may still contain the work
        limit_w = max(ABOVE_W, ABOVE_SHARE * sensor_w)
        # If the guard ended while the counter still lagged, its later power is not that of idle.
        excesses_w = [(counter_w - idle_w) - (sensor_w - later_w) - self._rounding_w()]
        if before_w is None or base_w is None:
            excesses_w.append(counter_w - sensor_w)
        else:
            excesses_w.append((counter_w - before_w) - (sensor_w - base_w))
        lags = max(excesses_w) > limit_w
        return lags, not lags and sensor_w - later_w > limit_w
