"""Idle power from the phases in which the devices idled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from llem_energy._estimation.figures import Figure, Quality
from llem_energy._estimation.window_energy import energy_figures
from llem_energy._measurement.idle import Idles, IdleSpan, context_of
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.window import MeasuredSpan
from llem_energy._result.measurement_figures import Baseline
from llem_energy._sources.protocol import EnergySource, Sample

_AROUND_S = 1.5  # more than the longest period of a counter
_MAX_CHANGE = 0.05  # from before to after the window, as a share of idle power; more is flagged


class IdlePower(msgspec.Struct, frozen=True):
    """Mean power of all devices while they idled, in watts, and why it is flagged."""

    power_w: float | None
    uncertainty_w: float = 0.0
    reasons: tuple[str, ...] = ()


class RatedBaseline(msgspec.Struct, frozen=True):
    """Idle power, and whether it can be relied on."""

    figures: Baseline
    quality: Quality


_NONE = IdlePower(None)
Between = Callable[[float, float], list[Sample]]


def baseline_figures(
    source: EnergySource,
    between: Between,
    idles: Idles,
    calibration: Sequence[Calibration],
    middle_s: float,
    boot_id: str | None,
) -> RatedBaseline:
    """Return idle power at the middle of a window, with its quality.

    Args:
        source: what was read.
        between: returns the samples of a span in time order.
        idles: when the devices idled.
        calibration: of the devices.
        middle_s: middle of the window.
        boot_id: the current boot.
    """

    def power(span: IdleSpan | None) -> IdlePower:
        return _NONE if span is None else idle_power(source, between, span, calibration)

    context = idles.reused
    no_model = power(idles.context)
    if idles.context is not None and no_model.power_w is not None and not no_model.reasons:
        start_s, end_s = idles.context.start_s, idles.context.end_s
        around = between(start_s - _AROUND_S, end_s)
        context = context_of(source.devices, no_model.power_w, end_s, around, boot_id)
    before, after = power(idles.before), power(idles.after)
    before_w, after_w = before.power_w, after.power_w
    power_w, uncertainty_w = before_w if before_w is not None else after_w, None
    if before_w is not None and after_w is not None and idles.before and idles.after:
        first_s, last_s = _middle(idles.before), _middle(idles.after)
        power_w = before_w + (after_w - before_w) * (middle_s - first_s) / (last_s - first_s)
        half_w = abs(after_w - before_w) / 2
        uncertainty_w = max(half_w, before.uncertainty_w, after.uncertainty_w)
    baseline = Baseline(
        context=context,
        context_reused=context is not None and context is idles.reused,
        loaded_before_w=before_w,
        loaded_after_w=after_w,
        power_w=power_w,
        uncertainty_w=uncertainty_w,
    )
    reasons = dict.fromkeys((*before.reasons, *after.reasons))
    quality = _quality(baseline, list(reasons), measured=idles.before is not None)
    return RatedBaseline(baseline, quality)


def without_baseline(total: Figure, baseline: RatedBaseline, duration_s: float) -> Figure:
    """Return an energy minus the idle energy of the same duration; it can be negative."""
    power_w = baseline.figures.power_w
    if total.value is None:
        return Figure(None, Quality("missing", total.quality.reasons))
    if power_w is None:
        return Figure(None, Quality("missing", baseline.quality.reasons))
    adjusted_j = total.value - power_w * duration_s
    reasons = list(dict.fromkeys((*total.quality.reasons, *baseline.quality.reasons)))
    if adjusted_j < 0:
        reasons.append("it is negative: the window drew less than the baseline")
    return Figure(adjusted_j, Quality("flagged" if reasons else "ok", tuple(reasons)))


def idle_power(
    source: EnergySource, between: Between, span: IdleSpan, calibration: Sequence[Calibration]
) -> IdlePower:
    """Return the mean power of all devices over an idle span."""
    samples = between(span.start_s - _AROUND_S, span.end_s + _AROUND_S)
    window = MeasuredSpan(span.start_s, span.end_s, 0.0, 1, 0.0)
    # Also a counter that observes the board part of the time sees all of a power that is steady.
    figures = energy_figures(source, samples, window, calibration, seen=source.devices)
    if figures.total_j is None:
        return _NONE
    duration_s = span.end_s - span.start_s
    reasons = [f"idle: {reason}" for reason in figures.reasons]
    if not span.is_steady:
        reasons.append("idle: power had not become steady")
    return IdlePower(
        figures.total_j / duration_s,
        (figures.uncertainty_j or 0.0) / duration_s,
        tuple(reasons),
    )


def idle_change(baseline: Baseline) -> list[str]:
    """Return by how much idle power changed from before to after a window, if it is too much."""
    before_w, after_w, power_w = baseline.loaded_before_w, baseline.loaded_after_w, baseline.power_w
    if before_w is None or after_w is None or power_w is None:
        return []
    change_w = abs(after_w - before_w)
    if change_w <= _MAX_CHANGE * power_w:
        return []
    return [f"idle power changed by {change_w:.3g} W from before to after the window"]


def _middle(span: IdleSpan) -> float:
    return (span.start_s + span.end_s) / 2


def _quality(baseline: Baseline, reasons: list[str], *, measured: bool) -> Quality:
    if baseline.power_w is None:
        why = "idle power could not be measured" if measured else "no baseline was requested"
        return Quality("missing", (why,))
    if baseline.uncertainty_w is None:
        reasons.append("idle power was measured on one side of the window only")
    reasons += idle_change(baseline)
    return Quality("flagged" if reasons else "ok", tuple(reasons))
