"""Why the energy of a measurement is flagged: reasons that its readings alone do not show."""

from __future__ import annotations

from collections.abc import Iterator

from llem_energy._estimation.figures import Quality
from llem_energy._measurement.load_flags import load_flags, shared_meter_flags
from llem_energy._measurement.neighbours import neighbour_flags
from llem_energy._measurement.power_left import PowerLeft
from llem_energy._measurement.raw_measurement import RawMeasurement
from llem_energy._measurement.tenancy_flags import tenancy_flags
from llem_energy._measurement.window_readings import readings_around
from llem_energy._metering.board_check import doubts
from llem_energy._metering.meter_failures import failed_in_window, last_errors
from llem_energy._metering.window import MeasuredSpan


def rated_total(raw: RawMeasurement, span: MeasuredSpan, quality: Quality) -> Quality:
    """Return the quality of a total, given what its readings show.

    Args:
        raw: the measurement.
        span: the window, or the window of a phase.
        quality: of its energy, from the readings.
    """
    if raw.source is None:
        return Quality("missing", (_why_missing(raw),))
    if quality.status == "missing":
        quality = quality.with_reasons(
            failed_in_window(
                readings_around(raw.samples, span),
                span,
                raw.source.devices,
                raw.sampler_failure,
                last_errors(raw.source),
            )
        )
    return quality.with_reasons(
        (*meter_flags(raw, span), *time_flags(raw, span), *power_left_flags(raw))
    )


def _why_missing(raw: RawMeasurement) -> str:
    why = "; ".join(raw.reasons) or "energy.sources names no meter of GPUs"
    if raw.host.source is not None:
        return f"the energy of the GPUs was not measured: {why}"
    return f"no energy was measured: {why}"


def time_flags(raw: RawMeasurement, span: MeasuredSpan) -> tuple[str, ...]:
    """Return why the time of a window, and so its energy, may not be that of the experiment.

    Args:
        raw: the measurement.
        span: the window, or the window of a phase.
    """
    return (*warm_up_flags(raw), *load_flags(span, on_gpu=bool(raw.gpus)))


def meter_flags(raw: RawMeasurement, span: MeasuredSpan) -> tuple[str, ...]:
    """Return the reasons that concern what was metered in a window; () without a source."""
    if raw.source is None:
        return ()
    stopped = raw.sampler_failure
    return (
        *_wrong_devices(raw),
        *doubts(raw.board_checks),
        *tenancy_flags(raw.tenancy, span),
        *(
            neighbour_flags(raw.neighbours)
            if raw.source.kind == "gpu"
            else shared_meter_flags(span)
        ),
        *((f"the sampler stopped early: {stopped}",) if stopped else ()),
    )


def _wrong_devices(raw: RawMeasurement) -> Iterator[str]:
    source = raw.source
    if source is None:
        return
    if source.kind == "gpu" and not raw.gpus:
        yield (
            "the backend reported no GPU of its own; the GPUs of this machine's settings "
            "(devices.gpus) were metered"
        )


def power_left_flags(raw: RawMeasurement) -> tuple[str, ...]:
    """Return the reason why the power of the window may not be that of a warm device."""
    share = raw.warm_up.report.power_left_share
    if share is None or not PowerLeft(share).is_large:
        return ()
    direction = "rising" if share > 0 else "falling"
    return (
        f"at the end of the warm-up the power was still {direction}, by about {abs(share):.1%} in "
        "the end: use a longer warm-up (warmup.thermal_floor_seconds)",
    )


def power_left_warnings(raw: RawMeasurement) -> Iterator[str]:
    """Yield why it is not known whether the power of the window is that of a warm GPU."""
    report = raw.warm_up.report
    is_gpu = raw.source is not None and raw.source.kind == "gpu"
    if is_gpu and raw.config.warmup.enabled and report.power_left_reason is not None:
        yield (
            f"{report.power_left_reason}; a longer warm-up shows it (warmup.thermal_floor_seconds: 20)"
        )


def warm_up_flags(raw: RawMeasurement) -> tuple[str, ...]:
    """Return the reasons why the work may not have been steady in the window."""
    if not raw.config.warmup.enabled:
        return ("no warm-up: compilation and cache set-up are inside the window",)
    warm_up = raw.warm_up
    if warm_up.converged is False:
        return (f"after {warm_up.report.n_repeats} warm-up repeats {warm_up.problem}",)
    return ()
