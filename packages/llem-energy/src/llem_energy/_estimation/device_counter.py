"""The counter of one device around a window, and why it cannot be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from llem_energy._estimation.board_power import largest_w
from llem_energy._estimation.counter import Reading, fell, loaded_period_s
from llem_energy._estimation.edge_estimators import CounterWindow, WindowEstimate
from llem_energy._estimation.standstills import standstills
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.span import Span
from llem_energy._sources.protocol import Sample

_MAX_POWER = 2.0  # times the limit, which boards exceed for milliseconds, but not by this factor
_OTHER_PERIOD = 0.2  # a share by which the period under load may differ from that in idle
_SLOW_COUNTER_S = 0.2  # with a longer period, power is sampled several times between two updates


def device_counter(
    samples: Sequence[Sample],
    span: Span,
    calibration: Calibration | None,
    limit_w: float | None,
    late_s: float,
) -> tuple[CounterWindow | None, list[str]]:
    """Return the counter around a window, or why it cannot be used."""
    readings = [
        Reading(s.t_s - s.read_duration_s / 2, s.t_s + s.read_duration_s / 2, s.energy_j)
        for s in samples
        if s.energy_j is not None
    ]
    if not readings:
        return None, ["the energy counter is missing"]
    if fell(readings, span.start_s, span.end_s):
        return None, ["the energy counter fell in the window (it was reset)"]
    period_s = calibration.counter_period_s if calibration else None
    jitter_s = (calibration.counter_jitter_s if calibration else None) or 0.0
    loaded_s = loaded_period_s(readings, span.start_s, span.end_s)
    is_same = not (period_s and loaded_s) or abs(loaded_s - period_s) <= _OTHER_PERIOD * period_s
    counter = CounterWindow(
        readings,
        # If it differs under load, neither helps to place an update: the readings do it alone.
        period_s=period_s if is_same else None,
        # One millisecond: the resolution of the calibration.
        jitter_s=jitter_s + 0.001,
        max_power_w=_max_power_w(samples, limit_w),
        swing_w=_swing_w(samples, span) if (period_s or 0.0) > _SLOW_COUNTER_S else 0.0,
        late_s=late_s,
    )
    if counter.rose_too_fast:
        return None, ["the energy counter rose by more than the device can draw"]
    return counter, []


def counter_estimates(
    counter: CounterWindow,
    span: Span,
    calibration: Calibration | None,
    samples: Sequence[Sample],
) -> tuple[list[WindowEstimate], list[str]]:
    """Return the estimates from the counter, and why it is flagged or missing."""
    readings = counter.readings
    estimates = counter.estimates(span.start_s, span.end_s, guard_s=span.guard_s)
    if not estimates and fell(readings, span.start_s, readings[-1].end_s):
        return [], ["the energy counter fell next to the window (it was reset)"]
    if not estimates:
        return [], ["the energy counter was not updated at the start or end of the window"]
    return estimates, list(standstills(readings, span, calibration, samples))


def _max_power_w(samples: Sequence[Sample], limit_w: float | None) -> float | None:
    """Return a power that the board certainly never drew for long; None if it has no limit."""
    return None if limit_w is None else _MAX_POWER * largest_w(samples, limit_w)


def _swing_w(samples: Sequence[Sample], span: Span) -> float:
    inside = [s.power_w for s in samples if span.start_s <= s.t_s <= span.end_s]
    powers = [power for power in inside if power is not None]
    return max(powers) - min(powers) if powers else 0.0
