"""The energy of one device over one window: the counter's where it can be relied on, else power's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from llem_energy._calibration import Calibration
from llem_energy._counter import fell, longest_standstill_s
from llem_energy._estimators import Counter, Estimate, Reading
from llem_energy._figures import EstimateFigure
from llem_energy._power import Integral, Point, integrated_energy
from llem_energy._source import Sample
from llem_energy._window import Span

_MOST_POWER = 2.0  # times the limit: boards exceed it for milliseconds, never by so much for long
_STALLED_PERIODS = 5.0
_TICK_S = 0.1  # between samples, at most, that a standstill must exceed as well
_LONGEST_GAP_S = 1.0  # without a power reading
_SLOW_READ = 2.0  # times the median: a longer reading does not say when its value was true
_SLOW_READ_S = 0.01
_AVERAGE_FROM_S = 10.0  # the driver's average lags by a second, so shorter windows are too wrong
_DISAGREEMENT = 0.05

INSTANT = "integral of instant power"
AVERAGE = "integral of the driver's average power"


class DeviceEnergy(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of one device say of its energy; the first estimate is the one to use."""

    estimates: tuple[EstimateFigure, ...] = ()
    counter_j: float | None = None
    integral: Integral | None = None
    """Of instant power."""
    from_counter: bool = False
    sampling_j: float | None = None
    reasons: tuple[str, ...] = ()
    """Why the energy is not beyond doubt, or missing."""

    @property
    def energy_j(self) -> float | None:
        """Return the energy to be used, or None."""
        return self.estimates[0].energy_j if self.estimates else None


def device_energy(
    samples: Sequence[Sample],
    span: Span,
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
    integral = _integral([(s, s.power_w) for s in samples], span, period_s)
    figures = [_counter_figure(one) for one in counted]
    counter_j = counted[0].energy_j if counted else None
    from_counter = bool(counted)
    if integral is not None:
        figure = EstimateFigure(
            method=INSTANT,
            energy_j=integral.energy_j,
            uncertainty_j=integral.sampling_j,
            bound_j=None,
        )
        if counted and not (doubts and _disagree(counter_j, integral)):
            figures.append(figure)  # a counter that stood still has caught up if power agrees
        else:
            figures.insert(0, figure)
            from_counter = False
            doubts.append("the integral of instant power stands in, without a hard bound")
    sampling_j = integral.sampling_j if integral and not from_counter else None
    if not figures:
        average = _integral([(s, s.power_average_w) for s in samples], span, period_s)
        if average is not None and span.end_s - span.start_s >= _AVERAGE_FROM_S:
            figures = [
                EstimateFigure(
                    method=AVERAGE,
                    energy_j=average.energy_j,
                    uncertainty_j=average.sampling_j,
                    bound_j=None,
                )
            ]
            sampling_j = average.sampling_j
            doubts.append("the driver's average power stands in, which lags by a second")
        else:
            doubts.append("the energy is missing")
    return DeviceEnergy(
        estimates=tuple(figures),
        counter_j=counter_j,
        integral=integral,
        from_counter=from_counter,
        sampling_j=sampling_j,
        reasons=tuple(doubts),
    )


def _counted(
    samples: Sequence[Sample],
    span: Span,
    calibration: Calibration | None,
    limit_w: float | None,
) -> tuple[list[Estimate], list[str]]:
    """Return the counter's estimates, and what speaks against them."""
    readings = [
        Reading(s.t_s - s.bracket_s / 2, s.t_s + s.bracket_s / 2, s.energy_j)
        for s in samples
        if s.energy_j is not None
    ]
    if not readings:
        return [], ["the energy counter is missing"]
    if fell(readings, span.start_s, span.end_s):
        return [], ["the energy counter fell in the window (it was reset)"]
    period_s = calibration.counter_period_s if calibration else None
    jitter_s = (calibration.counter_jitter_s if calibration else None) or 0.0
    counter = Counter(
        readings,
        period_s=period_s,
        # One millisecond: how finely the calibration saw the updates.
        jitter_s=jitter_s + 0.001,
        most_w=None if limit_w is None else _MOST_POWER * limit_w,
    )
    estimates = counter.estimates(span.start_s, span.end_s, guard_s=span.guard_s)
    if not estimates:
        return [], ["the energy counter stood still or fell silent at an end of the window"]
    still_s = longest_standstill_s(counter.updates, span.start_s, span.end_s)
    if period_s is not None and still_s > _STALLED_PERIODS * period_s + _TICK_S and _drew(samples):
        return estimates, [
            f"the energy counter stood still for {still_s:.2g} s in the window "
            f"(its period is {period_s:.2g} s)"
        ]
    return estimates, []


def _drew(samples: Sequence[Sample]) -> bool:
    return any((s.power_w or s.power_average_w or 1.0) > 0 for s in samples)


def _integral(
    points: Sequence[tuple[Sample, float | None]], span: Span, period_s: float | None
) -> Integral | None:
    known = [(sample, value) for sample, value in points if value is not None]
    if len(known) < 2:
        return None
    usual_s = statistics.median(sample.bracket_s for sample, _ in known)
    slow_s = max(_SLOW_READ_S, _SLOW_READ * usual_s)
    readings: list[Point] = [(s.t_s, value) for s, value in known if s.bracket_s <= slow_s]
    if len(readings) < 2:
        return None
    spacings = [later[0] - earlier[0] for earlier, later in pairwise(readings)]
    # A few lost ticks are bridged; a device that was gone for longer may have drawn anything.
    longest_gap_s = max(_LONGEST_GAP_S, 10 * statistics.median(spacings))
    return integrated_energy(
        readings, span.start_s, span.end_s, longest_gap_s=longest_gap_s, period_s=period_s
    )


def _disagree(counter_j: float | None, integral: Integral) -> bool:
    """Tell whether the two differ by more than an integral of power may be off."""
    if counter_j is None:
        return True
    usual_j = _DISAGREEMENT * max(counter_j, integral.energy_j)
    return abs(integral.energy_j - counter_j) > max(usual_j, integral.sampling_j)


def _counter_figure(estimate: Estimate) -> EstimateFigure:
    return EstimateFigure(
        method=f"energy counter, {estimate.method}",
        energy_j=estimate.energy_j,
        uncertainty_j=estimate.uncertainty_j,
        bound_j=estimate.bound_j,
    )
