"""Signs that a counter lags: its updates after a window, compared with instant power."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import dropwhile, pairwise

from llem_energy._estimation.guard_updates import IDLE_CHANGE, GuardUpdates
from llem_energy._estimation.power_integral import mean_w
from llem_energy._metering.power_tolerance import MIN_TOLERANCE_W, STRETCH_S, tolerance_w

_USUAL_GAIN = 1.5  # of a counter over the sensor in idle, compared with that under load
_LOAD_S = (0.2, 0.1, 0.0)  # before the end: two readings of the work
_AFTER_S = (0.03, 0.05)  # a reading by then is newer than the end, by half of the sensor's period
_STILL_LOADED = 0.95  # of the power of the work, which varies


def compare_power(guard: GuardUpdates, since_s: float) -> tuple[bool, bool]:
    """Return whether the counter lags, and whether instant power shows that power falls slowly.

    Args:
        guard: after the window.
        since_s: instant power is free of the work from then on.
    """
    (idle_w, before_w, base_w), counter = guard.idle, guard.counter
    first = guard.first
    while first < guard.last and counter.time_s(first) < since_s:
        first += 1
    end = first
    # A higher idle power than before is one of both meters, and no lag.
    near_w = (1 + IDLE_CHANGE) * idle_w
    while end < guard.last:
        end += 1
        if (counter.power_w(end - 1, end) or 0.0) <= near_w:
            break
    counter_w = counter.power_w(first, end) if end > first else None
    sensor_w = mean_w(guard.powers, counter.time_s(first), counter.time_s(end))
    later_w = guard.sensor_after_w(before_w)
    if counter_w is None or sensor_w is None or later_w is None:
        return False, False
    later_w = min(later_w, sensor_w)  # which may still contain the work
    limit_w = tolerance_w(sensor_w)
    # If the guard ended while the counter still lagged, its later power is not that of idle.
    excesses_w = [(counter_w - idle_w) - (sensor_w - later_w) - guard.rounding_w]
    if before_w is None or base_w is None:
        excesses_w.append(counter_w - sensor_w)
    else:
        excesses_w.append((counter_w - before_w) - (sensor_w - base_w))
    lags = max(excesses_w) > limit_w
    return lags, not lags and sensor_w - later_w > limit_w


def is_late(guard: GuardUpdates, energy_j: float) -> bool:
    """Return whether the counter rose more than a board can have used that is idle so soon.

    Args:
        guard: after the window.
        energy_j: of the window, about.
    """
    base_w, idles_w = guard.idle.sensor_before_w, guard.idle.counter_w
    if base_w is None:
        return False
    base_w = max(base_w, guard.sensor_after_w(idles_w[-1]) or base_w)
    idle_sensor_w = base_w + tolerance_w(base_w)
    after = bisect_left(guard.powers, guard.span.end_s, key=lambda point: point[0])
    until = bisect_right(guard.powers, guard.last_s, key=lambda point: point[0])
    points = list(dropwhile(lambda p: p[1] > idle_sensor_w, guard.powers[after:until]))
    if not points or any(watts > idle_sensor_w for _, watts in points):
        return False  # it was not idle, or something else began
    idle_at_s = points[0][0]
    last_w = guard.powers[after - 1][1] if after else 0.0
    mean = energy_j / (guard.span.end_s - guard.span.start_s)
    loaded_w = max(last_w, mean) - min(idles_w)
    # From the first update on: what is in it may have been used before the end.
    tail_j = loaded_w * max(0.0, idle_at_s - guard.first_s)
    guard_s = guard.last_s - guard.first_s
    tolerance_j = max(MIN_TOLERANCE_W * STRETCH_S, IDLE_CHANGE * max(idles_w) * guard_s)
    tolerance_j += guard.counter.quantum_j
    return min(map(guard.rise_j, idles_w)) > tail_j + tolerance_j


def power_fell(guard: GuardUpdates, since_s: float) -> bool:
    """Return whether instant power had begun to fall to idle soon after the window.

    If it had not, the sensor may be as late as the counter, and says nothing about it.

    Args:
        guard: after the window.
        since_s: instant power is free of the work from then on.
    """
    # The newest readings of the work, of which the first may be of a prefill.
    parts = [
        mean_w(guard.powers, guard.span.end_s - from_s, guard.span.end_s - to_s)
        for from_s, to_s in pairwise(_LOAD_S)
    ]
    load_w = min((watts for watts in parts if watts is not None), default=None)
    after_w = mean_w(guard.powers, since_s + _AFTER_S[0], since_s + _AFTER_S[1])
    base_w = guard.idle.sensor_before_w
    if load_w is None or after_w is None or base_w is None:
        return True
    return after_w - base_w <= _STILL_LOADED * (load_w - base_w)


def was_unsettled(guard: GuardUpdates, energy_j: float) -> bool:
    """Return whether the counter still showed earlier work when the window opened.

    Args:
        guard: after the window.
        energy_j: of the window.
    """
    before_w, base_w = guard.idle.before_w, guard.idle.sensor_before_w
    later_w = guard.idle_sensor_w
    if before_w is None or base_w is None or later_w is None:
        return False
    # A sensor may see less of the board than the counter, before and after the window alike.
    inside_w = mean_w(guard.powers, guard.span.start_s, guard.span.end_s)
    mean = energy_j / (guard.span.end_s - guard.span.start_s)
    gain = mean / inside_w if inside_w else 1.0
    is_usual = guard.idle.after_w <= _USUAL_GAIN * max(1.0, gain) * later_w
    usual_w = max(0.0, guard.idle.after_w - later_w) if is_usual else 0.0
    return before_w - base_w - usual_w > tolerance_w(base_w) + guard.rounding_w
