"""The energy figures of a window over all metered devices, each with its quality.

A total is the sum over all metered devices; if one is missing, the total is None.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from llem_energy._estimation.beats import Step
from llem_energy._estimation.device_energy import DeviceEnergy, device_energy
from llem_energy._estimation.figures import DeviceWindow, ErrorBudget, Figure, Quality
from llem_energy._estimation.sensor_gain import corrected_energy, gain_errors
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.gain_store import GainCalibration
from llem_energy._metering.span import Span
from llem_energy._sources.protocol import EnergySource, Sample
from llem_energy._sources.throttling import slowed_by

_LATE_S = 0.3  # the driver updates its throttle counters up to this much later
_BRAKES = {"power brake", "hardware slowdown"}
_HEAT = {"software thermal", "hardware thermal"}
_MAX_BOUND = 0.05  # of the total; a wider bound is flagged


class EnergyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Totals and devices of one window; a missing figure is None."""

    total_j: float | None = None
    bound_j: float | None = None
    uncertainty_j: float | None = None
    counter_j: float | None = None
    integrated_j: float | None = None
    disagreement: float | None = None
    method: str | None = None
    devices: tuple[DeviceWindow, ...] = ()
    budget: ErrorBudget | None = None
    gain_corrected: Figure = Figure(None, Quality("missing", ("nothing was metered",)))
    """The total, with the gain of each sensor that an external meter has shown."""
    gains: tuple[GainCalibration, ...] = ()
    """Of the metered devices."""
    reasons: tuple[str, ...] = ()
    """The reasons of `total`, except the width of its bound."""
    total: Quality = Quality("missing", ("nothing was metered",))
    counter: Quality = Quality("missing", ("nothing was metered",))
    integrated: Quality = Quality("missing", ("nothing was metered",))


def energy_figures(
    source: EnergySource | None,
    samples: Sequence[Sample],
    span: Span,
    calibration: Sequence[Calibration] = (),
    gains: Sequence[GainCalibration] = (),
    *,
    advice: str = "raise energy.min_window_seconds",
    seen: Collection[str] = (),
    exact: Collection[str] = (),
    late_s: Mapping[str, float] | None = None,
    steps_s: Collection[Step] = (),
    n_parts: int = 1,
    burst_s: float | None = None,
) -> EnergyFigures:
    """Return every energy figure of a window.

    Args:
        source: what was read; None if nothing was.
        samples: of all devices, in time order, from before the window to after it.
        span: the window, on the samples' clock.
        calibration: of the devices, if known.
        gains: calibrations of sensors with an external meter, of any device and driver.
        advice: what to do if the bound is wide.
        seen: devices whose counter was found to observe them all the time.
        exact: devices whose counter was found to be exact, so that it does not lag.
        late_s: by how much such a counter may be late all the same, for each device.
        steps_s: times that repeat in the window: between tokens, of batches, of repeats.
        n_parts: of the window between random pauses.
        burst_s: the longest time for which the work may have drawn more power at its beginning, such as
            that of the prefill, if known.
    """
    if source is None:
        return EnergyFigures()
    calibrations = {each.device: each for each in calibration}
    limits_w = {device: source.power_limit_w(device) for device in source.devices}
    by_device = {d: [s for s in samples if s.device == d] for d in source.devices}
    energies = {
        device: device_energy(
            readings,
            span,
            calibration=calibrations.get(device),
            limit_w=limits_w[device],
            checks_guard=source.kind == "gpu",
            # The counters of processors add up all the time.
            sees_all=source.kind != "gpu" or device in seen,
            is_exact=device in exact,
            late_s=(late_s or {}).get(device, 0.0),
            steps_s=steps_s,
            n_parts=n_parts,
            burst_s=burst_s,
        )
        for device, readings in by_device.items()
    }
    devices = tuple(
        _device(device, readings, energies[device], limits_w[device], span)
        for device, readings in by_device.items()
    )
    total_j = _sum(energy.energy_j for energy in energies.values())
    energies_j = {device: energy.energy_j for device, energy in energies.items()}
    gain = gain_errors(source, energies_j, gains)
    best = [energy.estimates[0] for energy in energies.values()] if total_j is not None else []
    bound_j = _sum(estimate.bound_j for estimate in best)
    sampling_j = _sum_of_known(energy.sampling_j for energy in energies.values())
    lag_j = sum(energy.lag_j for energy in energies.values())
    edge_j = None if bound_j is None else bound_j - (sampling_j or 0.0) - lag_j
    counter_j = _sum(energy.counter_j for energy in energies.values())
    integrated_j = _sum(e.integral.energy_j if e.integral else None for e in energies.values())
    reasons = [*_by_device({d: e.reasons for d, e in energies.items()}), *_throttled(devices)]
    return EnergyFigures(
        total_j=total_j,
        bound_j=bound_j,
        uncertainty_j=_sum(estimate.uncertainty_j for estimate in best),
        counter_j=counter_j,
        integrated_j=integrated_j,
        disagreement=_disagreement(counter_j, integrated_j),
        method="; ".join(dict.fromkeys(estimate.method for estimate in best)) or None,
        devices=devices,
        budget=ErrorBudget(
            edge_bound_j=edge_j,
            lag_j=None if bound_j is None else lag_j,
            sampling_j=sampling_j,
            gain_share=gain.share,
            gain_source=gain.origin,
            corrected_gain_share=gain.corrected_share,
        ),
        gain_corrected=corrected_energy(energies_j, gain),
        gains=gain.used,
        reasons=tuple(reasons),
        total=_quality(total_j, [*reasons, *_wide_bound(total_j, edge_j, lag_j, advice)]),
        counter=_quality(
            counter_j, _by_device({d: e.counter_reasons for d, e in energies.items()})
        ),
        integrated=_quality(integrated_j, _integral_reasons(energies)),
    )


def _throttled(devices: Sequence[DeviceWindow]) -> Iterator[str]:
    """Report throttling. The power limit is not reported: big GPUs always work at it."""
    hot = [d.device for d in devices if d.throttled_thermal_s or _HEAT & set(d.throttle_reasons)]
    if hot:
        yield f"throttled by temperature during the window: {', '.join(hot)}"
    braked = [d.device for d in devices if _BRAKES & set(d.throttle_reasons)]
    if braked:
        yield f"slowed down by its hardware during the window: {', '.join(braked)}"


def _wide_bound(
    total_j: float | None, edge_j: float | None, lag_j: float, advice: str
) -> Iterator[str]:
    if total_j is None or edge_j is None or edge_j + lag_j <= _MAX_BOUND * total_j:
        return
    share = f"{(edge_j + lag_j) / total_j:.0%} of" if total_j else "all of"
    if lag_j > edge_j:
        yield (
            f"the energy counter may lag: the bound is {share} the energy; {advice}, or see with "
            "`llem-cli doctor --check-gpu all` whether the counter is exact"
        )
    else:
        yield f"the window is short for this meter: the bound is {share} the energy; {advice}"


def _quality(value: float | None, reasons: Sequence[str]) -> Quality:
    if value is None:
        return Quality("missing", tuple(reasons))
    return Quality("flagged" if reasons else "ok", tuple(reasons))


def _by_device(reasons: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the reasons of all devices, each with its device."""
    return [f"{device}: {reason}" for device, each in reasons.items() for reason in each]


def _integral_reasons(energies: Mapping[str, DeviceEnergy]) -> list[str]:
    gaps = [d for d, energy in energies.items() if energy.integral is None]
    disagreements = {d: [e.disagreement] for d, e in energies.items() if e.disagreement}
    return [
        *(f"{device}: instant power was not read during the whole window" for device in gaps),
        *_by_device(disagreements),
    ]


def _sum_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


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
    span: Span,
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
        counter_check=energy.guard.check if energy.guard else None,
        energy_after_j=energy.guard.after_j if energy.guard else None,
        power_after_j=energy.guard.power_after_j if energy.guard else None,
    )


def _rise(values: Sequence[tuple[float, float | None]], span: Span) -> float | None:
    """Return the rise of a cumulative counter from before the window to after it."""
    before = [value for t_s, value in values if value is not None and t_s <= span.start_s]
    # The driver updates these counters with a delay, while the device already idles.
    after = [
        value
        for t_s, value in values
        if value is not None and span.end_s <= t_s <= span.end_s + _LATE_S
    ]
    if not before or not after:
        return None
    rise_s = after[-1] - before[-1]
    return None if rise_s < 0 else min(rise_s, span.end_s - span.start_s)
