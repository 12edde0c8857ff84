"""The energy of a window up to a later update of its counter, if the counter lags.

A counter that is exact at its updates falls to idle power with the board. One that is filtered or
late continues to rise faster, because it still counts the work. The estimators at the end of the
window use its first updates, and so miss what comes later. The *far guard* waits: it takes the last
update of the guard, and subtracts idle power for all the time since the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from llem_energy._estimation.edge_estimators import CounterWindow, WindowEstimate
from llem_energy._estimation.figures import CounterCheck
from llem_energy._estimation.guard_check import GuardCheck, check_guard
from llem_energy._estimation.guard_signs import was_unsettled
from llem_energy._estimation.guard_updates import GuardUpdates, guard_updates
from llem_energy._estimation.later_energy import LaterEnergy, later_energy
from llem_energy._estimation.power_integral import Point
from llem_energy._metering.power_tolerance import STRETCH_S, tolerance_w
from llem_energy._metering.span import Span

FAR_GUARD = "far guard"
_IDLE_NOISE = 3.0  # times what a change of idle power explains: a board that varies more works

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

UNSETTLED = (
    "the energy counter still showed more power than the sensor of power when the window opened: it "
    "counted earlier work, so leave the GPU idle for a longer time before the window"
)

HIGHER_BEFORE = (
    "the energy counter showed more power before the window than after it: it may have counted "
    "earlier work, so leave the GPU idle for a longer time before the window"
)


class FarGuard(msgspec.Struct, frozen=True):
    """The end of a window, seen from the last update of the guard after it."""

    energy_j: float
    """Of the window. It contains what the board used above idle power after the end."""
    after_j: float
    """Rise of the counter above idle power, from its first update after the end to the last."""
    power_after_j: float | None
    """The same from instant power; None if it was not read."""
    difference_j: float
    """By which the bound is wider: the largest difference to the chosen estimate, whatever idle power
    was, if the counter lags or may lag; 0 if nothing suggests it."""
    is_likely: bool
    """The uncertainty is wider too."""
    check: CounterCheck
    uncertainty_j: float | None
    """Of `energy_j`, if the counter has settled or falls as behind a first-order filter. None if it is
    late by more than the idle time before the window: it may have counted earlier work there."""
    is_unsettled: bool = False
    """The counter still showed earlier work when the window opened."""
    was_higher: bool = False
    """The counter showed more idle power before the window than after it."""

    @property
    def reasons(self) -> list[str]:
        """Why the energy is flagged; [] if it is not."""
        return [
            *([REASONS[self.check]] if self.check in REASONS else []),
            *([UNSETTLED] if self.is_unsettled else []),
            *([HIGHER_BEFORE] if self.was_higher and not self.is_unsettled else []),
        ]


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
    guard = guard_updates(counter, powers, span)
    if guard is None:
        return None
    later = later_energy(guard, chosen.start_j)
    found = check_guard(guard, later, chosen, power_period_s, is_exact=is_exact)
    load_w = chosen.energy_j / (span.end_s - span.start_s) - guard.idle.after_w
    difference_j = max(map(abs, later.differences_j(chosen)))
    is_likely = found.check in REASONS
    if not is_likely:
        may_hide = not is_exact and _may_hide(guard, later, found, load_w)
        likely_j = chosen.uncertainty_j or 0.0
        if may_hide:
            is_likely = difference_j > math.hypot(likely_j, later.noise_j) + counter.quantum_j
            difference_j = later.hidden_j(difference_j)
        else:
            difference_j = found.missing_j
            is_likely = difference_j > likely_j + counter.quantum_j
    before_s = span.guard_s + STRETCH_S  # to which power is known
    is_too_late = found.check == "lags" and not later.falls_j and guard.after_j > load_w * before_s
    return FarGuard(
        energy_j=later.energies_j[0],
        after_j=guard.after_j,
        power_after_j=guard.power_after_j,
        difference_j=difference_j,
        is_likely=is_likely,
        check=found.check,
        uncertainty_j=None
        if is_too_late
        else math.hypot(chosen.start_uncertainty_j, later.uncertainty_j()),
        was_higher=found.was_higher,
        is_unsettled=was_unsettled(guard, chosen.energy_j),
    )


def _may_hide(guard: GuardUpdates, later: LaterEnergy, found: GuardCheck, load_w: float) -> bool:
    """Return whether a counter may lag without a sign of it.

    The sensor cannot tell a load near idle power, so the guard may have ended too soon.

    Args:
        guard: after the window.
        later: energy of the window from the last update of the guard.
        found: what the guard shows.
        load_w: of the window, above idle power.
    """
    after_w, before_w, _ = guard.idle
    near_w = tolerance_w(after_w)
    is_idle = before_w is None or abs(before_w - after_w) <= near_w
    is_quiet = later.noise_j <= _IDLE_NOISE * later.idle_j
    return load_w < near_w and is_idle and is_quiet and not found.is_slow_board


def widened(estimates: Sequence[WindowEstimate], guard: FarGuard | None) -> list[WindowEstimate]:
    """Return the estimates with the far guard, the best one first.

    All of them are wider by the difference, if the counter may lag. If it lags for certain, the far
    guard comes first.

    Args:
        estimates: of the window; not empty.
        guard: after the window.
    """
    if guard is None:
        return list(estimates)
    chosen = estimates[0]
    start_method = chosen.method.partition(" at the start")[0]
    method = f"{start_method} at the start, {FAR_GUARD} at the end"
    far = msgspec.structs.replace(
        chosen,
        method=method,
        energy_j=guard.energy_j,
        uncertainty_j=(chosen.uncertainty_j or 0.0) + abs(guard.energy_j - chosen.energy_j),
    )
    wide, wide_far = [_wider(each, guard) for each in estimates], _wider(far, guard)
    if guard.check != "lags":
        return [*wide, wide_far]
    # It is the one that a counter that lags has not misled.
    return [msgspec.structs.replace(wide_far, uncertainty_j=guard.uncertainty_j), *wide]


def _wider(estimate: WindowEstimate, guard: FarGuard) -> WindowEstimate:
    difference_j, uncertainty_j = guard.difference_j, estimate.uncertainty_j
    if guard.is_likely:
        uncertainty_j = (uncertainty_j or 0.0) + difference_j + (guard.uncertainty_j or 0.0)
    return msgspec.structs.replace(
        estimate,
        uncertainty_j=uncertainty_j,
        low_j=max(0.0, estimate.low_j - difference_j),
        high_j=estimate.high_j + difference_j,
    )
