"""The energy of one device over one window: the counter's where it can be relied on, else power's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from llem_energy._estimation.counter import Reading, fell, longest_standstill_s
from llem_energy._estimation.edge_estimators import CounterWindow, WindowEstimate
from llem_energy._estimation.figures import EstimateFigure
from llem_energy._estimation.power_integral import Integral, Point, integrated_energy
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.protocol import Sample

_MAX_POWER = 2.0  # times the limit: boards exceed it for milliseconds, never by so much for long
_STALLED_PERIODS = 5.0
_SLOW_COUNTER_S = 0.2  # power is sampled several times between two updates of a slower one
_LONGEST_GAP_S = 1.0  # without a power reading
_SLOW_READ = 2.0  # times the median: a longer reading does not say when its value was true
_SLOW_READ_S = 0.01
_COMPARABLE_S = 10.0  # from here on counter and power should agree to 5 %, whatever the load
_DISAGREEMENT = 0.05

INSTANT = "integral of instant power"
AVERAGE = "integral of the driver's average power"


class DeviceEnergy(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of one device say of its energy; the first estimate is the one to use."""

    estimates: tuple[EstimateFigure, ...] = ()
    counter_j: float | None = None
    integral: Integral | None = None
    """Of instant power."""
    sampling_j: float | None = None
    """Of an integral that stands in for the counter."""
    counter_reasons: tuple[str, ...] = ()
    """What speaks against the counter."""
    reasons: tuple[str, ...] = ()
    """Why the energy is not beyond doubt, or missing."""

    @property
    def energy_j(self) -> float | None:
        """Return the energy to be used, or None."""
        return self.estimates[0].energy_j if self.estimates else None


def device_energy(
    samples: Sequence[Sample],
    span: MeasuredSpan,
    *,
    calibration: Calibration | None = None,
    limit_w: float | None = None,
) -> DeviceEnergy:
    """Return the energy of one device.

    Args:
        samples: of this device, in time order, from before the window to after it.
        span: the window.
        calibration: how its counter behaves.
        limit_w: its power limit.
    """
    counted, doubts = _counted(samples, span, calibration, limit_w)
    period_s = calibration.power_period_s if calibration else None
    powers = [(s, s.power_w) for s in samples] if _tells(samples) else []
    instant = _integral(powers, span, period_s)
    reasons = list(doubts)
    if counted:
        if instant is not None and _apart(counted[0], instant, span):
            reasons.append(
                f"counter and integrated power disagree by {_share(counted[0], instant)}"
            )
        if not (doubts and len(reasons) > len(doubts)):
            # A counter that stood still has caught up, if power agrees with it.
            figures = [_counter_figure(one) for one in counted]
            figures += [_power_figure(INSTANT, instant)] if instant else []
            return DeviceEnergy(
                estimates=tuple(figures),
                counter_j=counted[0].energy_j,
                integral=instant,
                counter_reasons=tuple(doubts),
                reasons=tuple(reasons),
            )
    stand_in, what, why = instant, INSTANT, "the integral of instant power stands in, without bound"
    if stand_in is None and span.end_s - span.start_s >= _COMPARABLE_S:
        # The driver's average lags by a second, so that shorter windows are too wrong.
        stand_in = _integral([(s, s.power_average_w) for s in samples], span, period_s)
        what, why = AVERAGE, "the driver's average power stands in, which lags by a second"
    if stand_in is None:
        why = "the energy is missing"
    figures = [_power_figure(what, stand_in)] if stand_in else []
    return DeviceEnergy(
        estimates=(*figures, *(_counter_figure(one) for one in counted)) if figures else (),
        counter_j=counted[0].energy_j if counted else None,
        integral=instant,
        sampling_j=stand_in.sampling_j if stand_in else None,
        counter_reasons=tuple(doubts),
        reasons=(*reasons, why),
    )


def _counted(
    samples: Sequence[Sample],
    span: MeasuredSpan,
    calibration: Calibration | None,
    limit_w: float | None,
) -> tuple[list[WindowEstimate], list[str]]:
    """Return the counter's estimates, and what speaks against them."""
    readings = [
        Reading(s.t_s - s.read_duration_s / 2, s.t_s + s.read_duration_s / 2, s.energy_j)
        for s in samples
        if s.energy_j is not None
    ]
    if not readings:
        return [], ["the energy counter is missing"]
    if fell(readings, span.start_s, span.end_s):
        return [], ["the energy counter fell in the window (it was reset)"]
    period_s = calibration.counter_period_s if calibration else None
    jitter_s = (calibration.counter_jitter_s if calibration else None) or 0.0
    counter = CounterWindow(
        readings,
        period_s=period_s,
        # One millisecond: how finely the calibration saw the updates.
        jitter_s=jitter_s + 0.001,
        max_power_w=_max_power_w(samples, limit_w),
        swing_w=_swing_w(samples, span) if (period_s or 0.0) > _SLOW_COUNTER_S else 0.0,
    )
    if counter.leapt:
        return [], ["the energy counter rose by more than the device can draw"]
    estimates = counter.estimates(span.start_s, span.end_s, guard_s=span.guard_s)
    if not estimates and fell(readings, span.start_s, readings[-1].end_s):
        return [], ["the energy counter fell next to the window (it was reset)"]
    if not estimates:
        return [], ["the energy counter stood still or fell silent at an end of the window"]
    still_s = longest_standstill_s(readings, span.start_s, span.end_s)
    if period_s is not None and still_s > _STALLED_PERIODS * period_s and _drew(samples):
        return estimates, [
            f"the energy counter stood still for {still_s:.2g} s in the window "
            f"(its period is {period_s:.2g} s)"
        ]
    return estimates, []


def _max_power_w(samples: Sequence[Sample], limit_w: float | None) -> float | None:
    """Return a power that the board surely never drew for long; None where it has no limit."""
    if limit_w is None:
        return None
    seen_w = max((s.power_w for s in samples if s.power_w is not None), default=0.0)
    return _MAX_POWER * max(limit_w, seen_w)


def _swing_w(samples: Sequence[Sample], span: MeasuredSpan) -> float:
    inside = [s.power_w for s in samples if span.start_s <= s.t_s <= span.end_s]
    powers = [power for power in inside if power is not None]
    return max(powers) - min(powers) if powers else 0.0


def _powers(samples: Sequence[Sample]) -> list[float]:
    return [p for s in samples for p in (s.power_w, s.power_average_w) if p is not None]


def _drew(samples: Sequence[Sample]) -> bool:
    powers = _powers(samples)
    return not powers or max(powers) > 0


def _tells(samples: Sequence[Sample]) -> bool:
    """Tell whether instant power is more than a 0 that the driver gives for what it has not."""
    if any(s.power_w for s in samples):
        return True
    energies = [s.energy_j for s in samples if s.energy_j is not None]
    rose = bool(energies) and energies[-1] > energies[0]
    return not rose and not any(s.power_average_w for s in samples)


def _integral(
    points: Sequence[tuple[Sample, float | None]], span: MeasuredSpan, period_s: float | None
) -> Integral | None:
    known = [(sample, value) for sample, value in points if value is not None]
    if len(known) < 2:
        return None
    usual_s = statistics.median(sample.read_duration_s for sample, _ in known)
    slow_s = max(_SLOW_READ_S, _SLOW_READ * usual_s)
    readings: list[Point] = [(s.t_s, value) for s, value in known if s.read_duration_s <= slow_s]
    inside = [t_s for t_s, _ in readings if span.start_s <= t_s <= span.end_s]
    spacings = [later - earlier for earlier, later in pairwise(inside)]
    # A few lost ticks are bridged; a device that was gone for longer may have drawn anything.
    longest_gap_s = max(_LONGEST_GAP_S, 3 * statistics.median(spacings) if spacings else 0.0)
    return integrated_energy(
        readings, span.start_s, span.end_s, longest_gap_s=longest_gap_s, period_s=period_s
    )


def _apart(counted: WindowEstimate, integral: Integral, span: MeasuredSpan) -> bool:
    """Tell whether counter and power differ by more than either of them can be wrong."""
    off_j = abs(integral.energy_j - counted.energy_j)
    usual_j = _DISAGREEMENT * max(counted.energy_j, integral.energy_j)
    if span.end_s - span.start_s >= _COMPARABLE_S:
        return off_j > usual_j
    return off_j > max(usual_j, counted.bound_j + integral.sampling_j)


def _share(counted: WindowEstimate, integral: Integral) -> str:
    if counted.energy_j <= 0:
        return f"{integral.energy_j - counted.energy_j:+.3g} J"
    return f"{integral.energy_j / counted.energy_j - 1:+.1%}"


def _counter_figure(estimate: WindowEstimate) -> EstimateFigure:
    return EstimateFigure(
        method=f"energy counter, {estimate.method}",
        energy_j=estimate.energy_j,
        uncertainty_j=estimate.uncertainty_j,
        bound_j=estimate.bound_j,
    )


def _power_figure(method: str, integral: Integral) -> EstimateFigure:
    return EstimateFigure(
        method=method,
        energy_j=integral.energy_j,
        uncertainty_j=integral.sampling_j,
        bound_j=None,
    )
