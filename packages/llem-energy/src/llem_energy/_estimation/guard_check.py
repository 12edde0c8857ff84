"""Whether a counter lags: how the end of a window, and its beginning, look to both meters.

Instant power tells a counter that lags from a board whose power falls slowly.
"""

from __future__ import annotations

from typing import NamedTuple

from llem_energy._estimation.edge_estimators import WindowEstimate
from llem_energy._estimation.figures import CounterCheck
from llem_energy._estimation.guard_signs import compare_power, is_late, power_fell
from llem_energy._estimation.guard_updates import GuardUpdates
from llem_energy._estimation.later_energy import LaterEnergy
from llem_energy._estimation.slow_start import first_moment
from llem_energy._metering.power_tolerance import STRETCH_S, tolerance_w

_UNKNOWN_PERIOD_S = 0.1
_SENSOR_PERIODS = 2.0  # instant power still contains the work: one period old, and a mean of one


class GuardCheck(NamedTuple):
    """What a guard says about its counter."""

    check: CounterCheck
    is_slow_board: bool
    """The power of the board falls slowly, and both meters show it."""
    missing_j: float
    """What the counter may hide of a slow board: the energy that the first moment of the work lacks."""
    was_higher: bool
    """The counter showed more idle power before the window than after it."""


def check_guard(
    guard: GuardUpdates,
    later: LaterEnergy,
    chosen: WindowEstimate,
    power_period_s: float | None,
    *,
    is_exact: bool,
) -> GuardCheck:
    """Return whether a counter lags.

    Args:
        guard: after the window.
        later: energy of the window from the last update of the guard.
        chosen: the estimate to compare with.
        power_period_s: between two updates of instant power, if known.
        is_exact: the counter is known not to lag, so what it shows late was used late.
    """
    span, idle, quantum_j = guard.span, guard.idle, guard.counter.quantum_j
    since_s = span.end_s + _SENSOR_PERIODS * (power_period_s or _UNKNOWN_PERIOD_S)
    lags, falls = compare_power(guard, since_s)
    least_j = min(later.differences_j(chosen))
    load_w = chosen.energy_j / (span.end_s - span.start_s) - idle.after_w
    lag_s = least_j / load_w if load_w > 0 else 0.0
    begin = first_moment(guard.counter, span, idle.before_w)
    # A board whose power falls slowly rises at once, and both meters show it.
    is_slow_board = falls and power_fell(guard, since_s) and not begin.rose_slowly(load_w, lag_s)
    explained_j = (chosen.uncertainty_j or 0.0) + later.idle_j + quantum_j
    check: CounterCheck = "agrees"
    if lags or is_late(guard, chosen.energy_j):
        check = "lags"
    elif least_j > explained_j and not is_exact and not is_slow_board:
        check = "unclear"
    elif not guard.powers:
        check = "unverified"
    fell_w = 0.0 if idle.before_w is None else idle.before_w - idle.after_w
    higher_w = tolerance_w(idle.after_w) + quantum_j / STRETCH_S
    return GuardCheck(
        check,
        is_slow_board,
        missing_j=begin.missing_j(load_w) if is_slow_board and not is_exact else 0.0,
        was_higher=not is_exact and falls and fell_w > higher_w,
    )
