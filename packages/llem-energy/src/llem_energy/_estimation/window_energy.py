"""The energy figures of a window over all metered devices, each with what it is worth.

A total is the sum over every metered device or it is None: never a part of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from llem_energy._estimation.device_energy import DeviceEnergy, device_energy
from llem_energy._estimation.figures import DeviceWindow, ErrorBudget, Quality
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.protocol import EnergySource, Sample
from llem_energy._sources.throttling import slowed_by

_LATE_S = 0.3
_BRAKES = {"power brake", "hardware slowdown"}
_HEAT = {"software thermal", "hardware thermal"}
_BOUND_LIMIT = 0.05  # of the total; a looser bound is worth a warning


class EnergyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Totals and devices of one window; None where something is missing."""

    total_j: float | None = None
    bound_j: float | None = None
    uncertainty_j: float | None = None
    counter_j: float | None = None
    integrated_j: float | None = None
    disagreement: float | None = None
    method: str | None = None
    devices: tuple[DeviceWindow, ...] = ()
    budget: ErrorBudget | None = None
    doubts: tuple[str, ...] = ()
    """Reasons of `total` but for the width of its bound."""
    total: Quality = Quality("missing", ("nothing was metered",))
    counter: Quality = Quality("missing", ("nothing was metered",))
    integrated: Quality = Quality("missing", ("nothing was metered",))


def energy_figures(
    source: EnergySource | None,
    samples: Sequence[Sample],
    span: MeasuredSpan,
    calibration: Sequence[Calibration] = (),
) -> EnergyFigures:
    """Return every energy figure of a window.

    Args:
        source: what was read, or None.
        samples: of all devices, in time order, from before the window to after it.
        span: the window, on the samples' clock.
        calibration: of the devices, where known.
    """
    if source is None:
        return EnergyFigures()
    known = {one.device: one for one in calibration}
    of_device = {d: [s for s in samples if s.device == d] for d in source.devices}
    limits = {device: source.power_limit_w(device) for device in source.devices}
    found = {
        device: device_energy(own, span, calibration=known.get(device), limit_w=limits[device])
        for device, own in of_device.items()
    }
    devices = tuple(_device(d, of_device[d], found[d], limits[d], span) for d in source.devices)
    total_j = _sum(one.energy_j for one in found.values())
    firsts = [one.estimates[0] for one in found.values() if one.estimates]
    bound_j = _sum(one.bound_j for one in firsts) if total_j is not None else None
    counter_j = _sum(one.counter_j for one in found.values())
    integrated_j = _sum(one.integral.energy_j if one.integral else None for one in found.values())
    disagreement = _disagreement(counter_j, integrated_j)
    reasons = _named(found, "reasons")
    hot = [d.device for d in devices if d.throttled_thermal_s or _HEAT & set(d.throttle_reasons)]
    if hot:
        reasons.append(f"held back by temperature during the window: {', '.join(hot)}")
    # Its power limit is where a big GPU works; a brake from outside is not.
    braked = [d.device for d in devices if _BRAKES & set(d.throttle_reasons)]
    if braked:
        reasons.append(f"slowed down by its hardware during the window: {', '.join(braked)}")
    doubts = tuple(reasons)
    if total_j is not None and bound_j is not None and bound_j > _BOUND_LIMIT * total_j:
        share = f"{bound_j / total_j:.0%} of" if total_j else "all of"
        reasons.append(
            f"the window is short for this meter: the bound is {share} the energy; "
            "raise energy.min_window_seconds"
        )
    return EnergyFigures(
        total_j=total_j,
        bound_j=bound_j,
        uncertainty_j=_sum(one.uncertainty_j for one in firsts) if total_j is not None else None,
        counter_j=counter_j,
        integrated_j=integrated_j,
        disagreement=disagreement,
        method=None if total_j is None else "; ".join(dict.fromkeys(one.method for one in firsts)),
        devices=devices,
        budget=_budget(source, found.values(), bound_j),
        doubts=doubts,
        total=_quality(total_j, reasons),
        counter=_quality(counter_j, _named(found, "counter_reasons")),
        integrated=_quality(integrated_j, _integral_reasons(found)),
    )


def _quality(value: float | None, reasons: Sequence[str]) -> Quality:
    if value is None:
        return Quality("missing", tuple(reasons))
    return Quality("flagged" if reasons else "ok", tuple(reasons))


def _named(
    found: dict[str, DeviceEnergy], which: Literal["reasons", "counter_reasons"]
) -> list[str]:
    """Return the reasons of all devices, each with its device."""
    return [
        f"{device}: {reason}" for device, one in found.items() for reason in getattr(one, which)
    ]


def _integral_reasons(found: dict[str, DeviceEnergy]) -> list[str]:
    silent = [
        f"{d}: instant power was not read all along" for d, o in found.items() if not o.integral
    ]
    apart = [reason for reason in _named(found, "reasons") if "disagree" in reason]
    return silent + apart


def _budget(
    source: EnergySource, found: Iterable[DeviceEnergy], bound_j: float | None
) -> ErrorBudget:
    sampling = [one.sampling_j for one in found if one.sampling_j is not None]
    return ErrorBudget(
        edge_bound_j=bound_j,
        sampling_j=sum(sampling) if sampling else None,
        gain_share=source.gain_share,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    total = 0.0
    n_values = 0
    for value in values:
        if value is None:
            return None
        total += value
        n_values += 1
    return total if n_values else None


def _disagreement(counter_j: float | None, integrated_j: float | None) -> float | None:
    if not counter_j or integrated_j is None:
        return None
    return (integrated_j - counter_j) / counter_j


def _device(
    device: str,
    samples: Sequence[Sample],
    energy: DeviceEnergy,
    limit_w: float | None,
    span: MeasuredSpan,
) -> DeviceWindow:
    inside = [s for s in samples if span.start_s <= s.t_s <= span.end_s]
    temperatures = [s.temperature_c for s in inside if s.temperature_c is not None]
    clocks = [s.sm_clock_mhz for s in inside if s.sm_clock_mhz is not None]
    powers = [s.power_w for s in inside if s.power_w is not None]
    return DeviceWindow(
        device=device,
        energy_j=energy.energy_j,
        energy_bound_j=energy.estimates[0].bound_j if energy.estimates else None,
        power_limit_w=limit_w,
        temperature_start_c=temperatures[0] if temperatures else None,
        temperature_end_c=temperatures[-1] if temperatures else None,
        temperature_max_c=max(temperatures, default=None),
        sm_clock_mean_mhz=sum(clocks) / len(clocks) if clocks else None,
        throttled_power_s=_rise([(s.t_s, s.throttled_power_s) for s in samples], span),
        throttled_thermal_s=_rise([(s.t_s, s.throttled_thermal_s) for s in samples], span),
        throttle_reasons=slowed_by(sample.throttle_reasons for sample in inside),
        estimates=energy.estimates,
        power_mean_w=sum(powers) / len(powers) if powers else None,
        power_max_w=max(powers, default=None),
    )


def _rise(values: Sequence[tuple[float, float | None]], span: MeasuredSpan) -> float | None:
    """Return how far a cumulative counter rose from before the window to after it."""
    before = [value for t_s, value in values if value is not None and t_s <= span.start_s]
    # The driver brings these counters up to date some time later; the device only idles then.
    after = [
        value
        for t_s, value in values
        if value is not None and span.end_s <= t_s <= span.end_s + _LATE_S
    ]
    if not before or not after:
        return None
    rise_s = after[-1] - before[-1]
    return None if rise_s < 0 else min(rise_s, span.end_s - span.start_s)
