"""What the counter shows after a window: whether it lags, and the energy up to its last update.

A counter that is exact at its updates falls to idle power with the board. One that is filtered or
late continues to rise faster, because it still counts the work. The estimators at the end of the
window use its first updates, and so miss what comes later. The *far guard* waits: it takes the last
update of the guard, and subtracts idle power for all the time since the end. Instant power tells
a counter that lags from a board whose power falls slowly.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import dropwhile

import msgspec

from llem_energy._estimation.edge_estimators import CounterWindow, WindowEstimate
from llem_energy._estimation.figures import CounterCheck
from llem_energy._estimation.filter_fall import filter_falls
from llem_energy._estimation.power_integral import Point
from llem_energy._metering.span import Span

FAR_GUARD = "far guard"
_IDLE_CHANGE = 0.05  # idle power before and after the window differ by this share at least
_ABOVE_SHARE, _ABOVE_W = 0.10, 10.0  # counter and sensor of power differ by less than either
_UNKNOWN_PERIOD_S = 0.1
_SENSOR_PERIODS = 2.0  # instant power still contains the work: one period old, and a mean of one
_STRETCH_S = 0.09  # power over a shorter time depends too much on when the counter was read
_T_3 = 3.182  # 97.5 % quantile of Student's t with 3 degrees of freedom

REASONS: dict[CounterCheck, str] = {
    "lags": (
        "after the work had ended, the energy counter rose faster than instant power explains: "
        "it lags, so the energy up to a later update was used"
    ),
    "unclear": (
        "the energy counter continued to rise after the work had ended: it lags, or the board needs "
        "time to fall to idle power"
    ),
}


class FarGuard(msgspec.Struct, frozen=True):
    """The end of a window, seen from the last update of the guard after it."""

    energy_j: float
    """Of the window. It contains what the board used above idle power after the end."""
    after_j: float
    """Rise of the counter above idle power, from its first update after the end to the last."""
    power_after_j: float | None
    """The same from instant power; None if it was not read."""
    difference_j: float
    """Largest difference to the chosen estimate, whatever idle power was."""
    check: CounterCheck
    uncertainty_j: float
    """Of `energy_j`, if the counter has settled or falls as behind a first-order filter."""


def far_guard(
    counter: CounterWindow,
    powers: Sequence[Point],
    span: Span,
    chosen: WindowEstimate,
    power_period_s: float | None = None,
    *,
    is_exact: bool = False,
) -> FarGuard | None:
    """Return what the guard after a window shows.

    Args:
        counter: of the device.
        powers: instant power in time order; () if the device does not report it.
        span: the window, with its guards.
        chosen: the estimate to compare with.
        power_period_s: between two updates of instant power, if known.
        is_exact: the counter is known not to lag, so what it shows late was used late.

    Returns:
        None if the guard has fewer than three updates.
    """
    first = counter.first_after(span.end_s)
    if first is None:
        return None
    until_s = span.end_s + max(span.after_s, span.guard_s)
    last = first
    while last + 1 < len(counter.updates) and counter.time_s(last + 1) <= until_s:
        last += 1
    if last - first < 2:
        return None
    guard = _Guard(counter, powers, first, last)
    idle_w, idle_before_w = guard.idle_w(), _idle_before_w(counter, span)
    if idle_w is None:
        return None
    last_j, outside_s = counter.updates[last].energy_j, counter.time_s(last) - span.end_s
    # Idle power may have changed after the window.
    idles_w = [idle_w] if idle_before_w is None else [idle_w, idle_before_w]
    energies_j = [last_j - watts * outside_s - chosen.start_j for watts in idles_w]
    # A filtered counter has not settled, before the window neither.
    falls_j = [
        fall.energy_j(last_j - chosen.start_j, outside_s, idle_before_w)
        for fall in filter_falls(counter, first, last)
    ]
    energies_j = [*falls_j[:1], *energies_j]
    differences_j = [energy_j - chosen.energy_j for energy_j in energies_j]
    idle_j = _IDLE_CHANGE * idle_w * outside_s
    noise = counter.idle_noise(span.start_s, span.end_s, span.guard_s)
    tolerance_j = (chosen.uncertainty_j or 0.0) + idle_j + counter.quantum_j
    rises = min(differences_j) > tolerance_j
    base_w = _mean_w(powers, span.start_s - _STRETCH_S, span.start_s)
    since_s = span.end_s + _SENSOR_PERIODS * (power_period_s or _UNKNOWN_PERIOD_S)
    lags, falls = guard.compare(since_s, idle_before_w, base_w, idle_w)
    check: CounterCheck = "agrees"
    if lags or guard.is_late(span, chosen.energy_j, idles_w, base_w):
        check = "lags"
    elif rises and not falls and not is_exact:
        check = "unclear"
    elif not powers:
        check = "unverified"
    return FarGuard(
        energy_j=energies_j[0],
        after_j=guard.after_j(idle_w),
        power_after_j=guard.power_after_j(),
        difference_j=max(map(abs, differences_j)),
        check=check,
        uncertainty_j=math.hypot(
            chosen.start_uncertainty_j,
            # The fits find idle power too.
            _spread_j(falls_j)
            if falls_j
            else math.hypot(
                max(energies_j) - min(energies_j),
                noise.likely_j(outside_s, _STRETCH_S) if noise else idle_j,
            ),
        ),
    )


def _spread_j(energies_j: Sequence[float]) -> float:
    return _T_3 * statistics.stdev(energies_j)


def widened(estimates: Sequence[WindowEstimate], guard: FarGuard | None) -> list[WindowEstimate]:
    """Return the estimates with the far guard, the best one first.

    If the counter continues to rise after the end, all of them are wider by the difference. If it
    lags for certain, the far guard comes first.

    Args:
        estimates: of the window; not empty.
        guard: after the window.
    """
    if guard is None:
        return list(estimates)
    chosen = estimates[0]
    start_method = chosen.method.partition(" at the start")[0]
    method = f"{start_method} at the start, {FAR_GUARD} at the end"
    far = msgspec.structs.replace(chosen, method=method, energy_j=guard.energy_j)
    if guard.check not in REASONS:
        inside = chosen.low_j <= far.energy_j <= chosen.high_j
        return [*estimates, far] if inside else [*estimates, _wider(far, guard)]
    wide = [_wider(each, guard) for each in estimates]
    wide_far = _wider(far, guard)
    if guard.check != "lags":
        return [*wide, wide_far]
    # It is the one that a counter that lags has not misled.
    return [msgspec.structs.replace(wide_far, uncertainty_j=guard.uncertainty_j), *wide]


def _wider(estimate: WindowEstimate, guard: FarGuard) -> WindowEstimate:
    difference_j = guard.difference_j
    return msgspec.structs.replace(
        estimate,
        uncertainty_j=(estimate.uncertainty_j or 0.0) + difference_j,
        low_j=max(0.0, estimate.low_j - difference_j),
        high_j=estimate.high_j + difference_j,
    )


def _idle_before_w(counter: CounterWindow, span: Span) -> float | None:
    """Return the power of the last updates in the guard before the window."""
    after = counter.first_after(span.start_s)
    if after is None or after < 2:
        return None
    end = after - 1
    for i in range(end - 1, -1, -1):
        if counter.time_s(i) < span.start_s - span.guard_s:
            return None
        if counter.time_s(end) - counter.time_s(i) >= _STRETCH_S:
            return counter.power_w(i, end)
    return None


def _mean_w(powers: Sequence[Point], from_s: float, to_s: float) -> float | None:
    first = bisect_left(powers, from_s, key=lambda point: point[0])
    last = bisect_right(powers, to_s, key=lambda point: point[0])
    values = [watts for _, watts in powers[first:last]]
    return statistics.fmean(values) if values else None


class _Guard:
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
        while i > self._first + 1 and self._time_s(self._last) - self._time_s(i) < _STRETCH_S:
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
        idle_sensor_w = base_w + max(_ABOVE_W, _ABOVE_SHARE * base_w)
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
        tolerance_j = max(_ABOVE_W * _STRETCH_S, _IDLE_CHANGE * max(idles_w) * guard_s)
        tolerance_j += self._counter.quantum_j
        return min(map(self.after_j, idles_w)) > tail_j + tolerance_j

    def power_after_j(self) -> float | None:
        """Return the same from instant power."""
        from_s, to_s = self._time_s(self._first), self._time_s(self._last)
        mean_w = _mean_w(self._powers, from_s, to_s)
        idle_w = _mean_w(self._powers, self._time_s(self._idle_from()), to_s)
        if mean_w is None or idle_w is None:
            return None
        return (mean_w - idle_w) * (to_s - from_s)

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
        near_w = (1 + _IDLE_CHANGE) * min(idle_w, before_w or idle_w)
        while end < self._last:
            end += 1
            if (self._counter.power_w(end - 1, end) or 0.0) <= near_w:
                break
        counter_w = self._counter.power_w(first, end) if end > first else None
        sensor_w = _mean_w(self._powers, self._time_s(first), self._time_s(end))
        if counter_w is None or sensor_w is None:
            return False, False
        limit_w = max(_ABOVE_W, _ABOVE_SHARE * sensor_w)
        if before_w is None or base_w is None:
            return counter_w - sensor_w > limit_w, False
        above_w, sensor_above_w = counter_w - before_w, sensor_w - base_w
        lags = above_w - sensor_above_w > limit_w
        return lags, not lags and sensor_above_w > limit_w
