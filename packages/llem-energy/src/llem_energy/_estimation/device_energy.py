"""The energy of one device in a window: from its counter if it can be trusted, else from power."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Sequence
from functools import partial
from itertools import pairwise

import msgspec

from llem_energy._estimation.beats import Step, beat_reason, beats, missed_share
from llem_energy._estimation.board_power import above_idle_j, first_peak_w, largest_w
from llem_energy._estimation.device_counter import counter_estimates, device_counter
from llem_energy._estimation.edge_estimators import WindowEstimate
from llem_energy._estimation.far_guard import FarGuard, far_guard, widened
from llem_energy._estimation.figures import EstimateFigure
from llem_energy._estimation.part_time import saw_the_end, unseen, with_unseen
from llem_energy._estimation.power_integral import Integral, Point, integrated_energy
from llem_energy._estimation.sensor_difference import COMPARABLE_S, disagreement, with_difference
from llem_energy._estimation.standstills import longest_period_s
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.span import Span
from llem_energy._sources.protocol import Sample

_MAX_GAP_S = 1.0  # without a power reading
_SLOW_READ = 2.0  # times the median: the time of the value in a slower reading is too uncertain
_SLOW_READ_S = 0.01

INSTANT = "integral of instant power"
AVERAGE = "integral of the driver's average power"


class DeviceEnergy(msgspec.Struct, frozen=True, kw_only=True):
    """The energy of one device from its samples; the first estimate is the one to use."""

    estimates: tuple[EstimateFigure, ...] = ()
    counter_j: float | None = None
    integral: Integral | None = None
    """Of instant power."""
    sampling_j: float | None = None
    """Of an integral that replaces the counter; or of a counter that may observe part of the time."""
    counter_reasons: tuple[str, ...] = ()
    """Why the counter is flagged or missing."""
    lag_j: float = 0.0
    """By which the bound is wider because the counter lags, or may lag."""
    disagreement: str | None = None
    """By how much counter and power disagree, if it is too much."""
    reasons: tuple[str, ...] = ()
    """Why the energy is flagged or missing."""
    guard: FarGuard | None = None
    """What the counter did after the window."""

    @property
    def energy_j(self) -> float | None:
        """The energy of the best estimate, or None."""
        return self.estimates[0].energy_j if self.estimates else None


def device_energy(
    samples: Sequence[Sample],
    span: Span,
    *,
    calibration: Calibration | None = None,
    limit_w: float | None = None,
    checks_guard: bool = True,
    sees_all: bool = False,
    is_exact: bool = False,
    late_s: float = 0.0,
    steps_s: Collection[Step] = (),
    n_parts: int = 1,
    burst_s: float | None = None,
) -> DeviceEnergy:
    """Return the energy of one device.

    Args:
        samples: of this device, in time order, from before the window to after it.
        span: the window.
        calibration: how its counter behaves.
        limit_w: its power limit.
        checks_guard: whether the device idles in the guards, so that they show if its counter lags.
        sees_all: whether its counter is known to observe it all the time.
        is_exact: whether its counter is known not to lag.
        late_s: by which a check that found it exact may have missed that it is late.
        steps_s: times that repeat in the window: between tokens, of batches, of repeats.
        n_parts: of the window between random pauses.
        burst_s: the longest time for which the work may have drawn more power at its beginning, such as
            that of the prefill, if known.
    """
    period_s = calibration.power_period_s if calibration else None
    powers = [(s, s.power_w) for s in samples] if _reports_power(samples) else []
    counter, counter_reasons = device_counter(samples, span, calibration, limit_w, late_s)
    counted, reasons = (
        counter_estimates(counter, span, calibration, samples) if counter else ([], [])
    )
    counter_reasons += reasons
    above_j = above_idle_j(counted[0].energy_j, samples, span) if counted else 0.0
    swing_j = 2 * above_j  # of steps from idle power to as far above the mean
    found = partial(beats, steps_s, window_s=span.end_s - span.start_s, n_parts=n_parts)
    hidden = found((period_s, calibration.counter_period_s if calibration else None))
    beat = None
    # Random pauses leave an error that the bound contains.
    if counted and counted[0].energy_j > 0 and not sees_all and n_parts == 1:
        beat = beat_reason(hidden, swing_j / counted[0].energy_j)
    guard = None
    exact_j = counted[0].bound_j if counted else 0.0  # the bound of a counter that does not lag
    if counter and counted and checks_guard and span.guard_s:
        points = [(sample.t_s, watts) for sample, watts in powers if watts is not None]
        guard = far_guard(counter, points, span, counted[0], period_s, is_exact=is_exact)
        counted = widened(counted, guard)
        counter_reasons += guard.reasons if guard else []
    instant = _integral(powers, span, period_s)
    differs = None
    if counted and instant is not None:
        sensor_j = swing_j * missed_share(found([period_s]))
        differs = disagreement(counted[0], instant, span, sensor_j)
        if (differs and not sees_all) or (guard and guard.reasons):
            counted = with_difference(counted, instant)
    energy = DeviceEnergy(
        counter_j=counted[0].energy_j if counted else None,
        integral=instant,
        counter_reasons=tuple(counter_reasons),
        lag_j=max(0.0, counted[0].bound_j - exact_j) if counted else 0.0,
        disagreement=differs,
        reasons=tuple(counter_reasons) + ((differs,) if differs else ()),
        guard=guard,
    )
    replaces = not counted or bool(counter_reasons and differs)
    if beat:
        # Not a reason to use instant power instead, which beats with the same steps.
        energy = msgspec.structs.replace(
            energy,
            counter_reasons=(*energy.counter_reasons, beat),
            reasons=(beat, *energy.reasons),
        )
    if replaces:
        return _from_power(energy, counted, samples, span, period_s)
    # Also a counter that stalled is used if power agrees with it: then it has caught up.
    if counter and not sees_all:
        longest_s = longest_period_s(counter.readings, span, calibration)
        largest = largest_w(samples, limit_w)
        peak_w = first_peak_w(counted[0].energy_j, above_j, span, largest)
        missed = unseen(
            counter,
            span.start_s,
            span.end_s,
            longest_s,
            peak_w=peak_w,
            burst_s=math.inf if burst_s is None else burst_s,
        ).with_beats(swing_j * missed_share(hidden))
        energy = msgspec.structs.replace(energy, sampling_j=missed.possible_j)
        is_likely = not saw_the_end(counter, span)
        counted = [
            with_unseen(each, missed, beats=beat is not None, is_likely=is_likely)
            for each in counted
        ]
    figures = [_counter_figure(estimate) for estimate in counted]
    figures += [_power_figure(INSTANT, instant)] if instant else []
    return msgspec.structs.replace(energy, estimates=tuple(figures))


def _from_power(
    energy: DeviceEnergy,
    counted: Sequence[WindowEstimate],
    samples: Sequence[Sample],
    span: Span,
    period_s: float | None,
) -> DeviceEnergy:
    """Replace the counter by an integral of power, if there is one."""
    integral, method = energy.integral, INSTANT
    reason = "replaced by the integral of instant power, which has no bound"
    if integral is None and span.end_s - span.start_s >= COMPARABLE_S:
        # The driver's average lags by a second, so that it is too wrong in shorter windows.
        integral = _integral([(s, s.power_average_w) for s in samples], span, period_s)
        method = AVERAGE
        reason = "replaced by the driver's average power, which lags by a second"
    if integral is None:
        reasons = (*energy.reasons, "no integral of power can replace the counter")
        return msgspec.structs.replace(energy, reasons=reasons)
    figures = [_power_figure(method, integral), *(_counter_figure(each) for each in counted)]
    return msgspec.structs.replace(
        energy,
        estimates=tuple(figures),
        sampling_j=integral.sampling_j,
        reasons=(*energy.reasons, reason),
    )


def _reports_power(samples: Sequence[Sample]) -> bool:
    """Return whether instant power is reported: some drivers return 0 if they do not have it."""
    if any(s.power_w for s in samples):
        return True
    energies = [s.energy_j for s in samples if s.energy_j is not None]
    rose = bool(energies) and energies[-1] > energies[0]
    return not rose and not any(s.power_average_w for s in samples)


def _integral(
    points: Sequence[tuple[Sample, float | None]], span: Span, period_s: float | None
) -> Integral | None:
    values = [(sample, value) for sample, value in points if value is not None]
    if len(values) < 2:
        return None
    median_s = statistics.median(sample.read_duration_s for sample, _ in values)
    slow_s = max(_SLOW_READ_S, _SLOW_READ * median_s)
    readings: list[Point] = [(s.t_s, value) for s, value in values if s.read_duration_s <= slow_s]
    inside = [t_s for t_s, _ in readings if span.start_s <= t_s <= span.end_s]
    spacings = [later - earlier for earlier, later in pairwise(inside)]
    # A few lost ticks are interpolated; during a longer gap the device may have drawn any power.
    max_gap_s = max(_MAX_GAP_S, 3 * statistics.median(spacings) if spacings else 0.0)
    return integrated_energy(
        readings, span.start_s, span.end_s, max_gap_s=max_gap_s, period_s=period_s
    )


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
