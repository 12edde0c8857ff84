"""Idle power from the phases in which the devices were left alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llem_energy._calibration import Calibration
from llem_energy._evidence import Idles
from llem_energy._figures import Baseline, Quality
from llem_energy._idle import IdleSpan, context_of
from llem_energy._meter import energy_figures
from llem_energy._source import EnergySource, Sample
from llem_energy._window import Span

_AROUND_S = 1.5  # more than the longest period of a counter
_CHANGED = 0.05  # between before and after, a share of idle power that is worth a flag

Between = Callable[[float, float], list[Sample]]


def baseline_figures(
    source: EnergySource,
    between: Between,
    idles: Idles,
    calibration: Sequence[Calibration],
    middle_s: float,
    boot_id: str | None,
) -> tuple[Baseline, Quality]:
    """Return idle power, and what it is worth at the middle of a window.

    Args:
        source: what was read.
        between: gives the samples of a span in time order.
        idles: when the devices idled.
        calibration: of the devices.
        middle_s: of the window.
        boot_id: of this machine.
    """

    def power(span: IdleSpan | None) -> float | None:
        return None if span is None else idle_power(source, between, span, calibration)

    context = idles.reused
    context_w = power(idles.context)
    if idles.context is not None and context_w is not None:
        around = between(idles.context.start_s - _AROUND_S, idles.context.end_s)
        context = context_of(source.devices, context_w, idles.context.end_s, around, boot_id)
    before_w, after_w = power(idles.before), power(idles.after)
    power_w, uncertainty_w = before_w if before_w is not None else after_w, None
    if before_w is not None and after_w is not None and idles.before and idles.after:
        first_s, last_s = _middle(idles.before), _middle(idles.after)
        power_w = before_w + (after_w - before_w) * (middle_s - first_s) / (last_s - first_s)
        uncertainty_w = abs(after_w - before_w) / 2
    baseline = Baseline(
        context=context,
        context_reused=context is not None and context is idles.reused,
        loaded_before_w=before_w,
        loaded_after_w=after_w,
        power_w=power_w,
        uncertainty_w=uncertainty_w,
    )
    return baseline, _quality(baseline, measured=idles.before is not None)


def idle_power(
    source: EnergySource, between: Between, span: IdleSpan, calibration: Sequence[Calibration]
) -> float | None:
    """Return the mean power of all devices over an idle span, in watts; None if not known."""
    samples = between(span.start_s - _AROUND_S, span.end_s + _AROUND_S)
    window = Span(span.start_s, span.end_s, 0.0, 1, 0.0)
    total_j = energy_figures(source, samples, window, calibration).total_j
    return None if total_j is None else total_j / (span.end_s - span.start_s)


def _middle(span: IdleSpan) -> float:
    return (span.start_s + span.end_s) / 2


def _quality(baseline: Baseline, *, measured: bool) -> Quality:
    if baseline.power_w is None:
        why = "idle power could not be read" if measured else "no baseline was asked for"
        return Quality("missing", (why,))
    if baseline.uncertainty_w is None:
        return Quality("flagged", ("idle power is known on one side of the window only",))
    change_w = 2 * baseline.uncertainty_w
    if change_w > _CHANGED * baseline.power_w:
        return Quality(
            "flagged", (f"idle power changed by {change_w:.3g} W from before to after the window",)
        )
    return Quality("ok")
