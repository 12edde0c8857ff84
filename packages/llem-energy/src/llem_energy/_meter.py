"""The energy figures of a window from the samples around it, per device and in total.

A total is the sum over every metered device or it is None: never a part of one.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from llem_energy._integrate import Estimate, Point, Reading, counter_energy, integrated_energy
from llem_energy._nvml import reason_names
from llem_energy._results import DeviceWindow
from llem_energy._source import EnergySource, Sample

_DISAGREEMENT_LIMIT = 0.05  # of counter and integral, where a window is long enough to compare
_COMPARABLE_S = 10.0
_LONGEST_GAP_S = 1.0  # without a power reading
_BOUND_LIMIT = 0.05  # of the total; a looser bound is worth a warning

COUNTER = "energy counter, linear between its updates"
INTEGRAL = "integral of instant power, trapezoid rule"


class EnergyFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Totals and devices of one window; None where something is missing."""

    total_j: float | None = None
    bound_j: float | None = None
    counter_j: float | None = None
    integrated_j: float | None = None
    disagreement: float | None = None
    baseline_power_w: float | None = None
    adjusted_j: float | None = None
    method: str | None = None
    devices: tuple[DeviceWindow, ...] = ()
    warnings: tuple[str, ...] = ()


def energy_figures(
    source: EnergySource | None,
    samples: Sequence[Sample],
    *,
    window: tuple[float, float],
    baseline: tuple[float, float] | None,
) -> EnergyFigures:
    """Return every energy figure of a window.

    Args:
        source: what was read, or None.
        samples: of all devices, in time order, from before the window to after it.
        window: start and end, in seconds on the samples' clock.
        baseline: start and end of the idle phase, or None.
    """
    if source is None:
        return EnergyFigures()
    warnings: list[str] = []
    of_device = {d: [s for s in samples if s.device == d] for d in source.devices}
    counters = {d: _counter(s, window) for d, s in of_device.items()}
    integrals = {d: _integral(s, window) for d, s in of_device.items()}
    counter_j = _sum(None if c is None else c.energy_j for c in counters.values())
    integrated_j = _sum(integrals.values())
    devices = tuple(
        _device(source, device, of_device[device], counters[device], integrals[device], window)
        for device in source.devices
    )
    total_j = _sum(device.energy_j for device in devices)
    bound_j = _sum(device.energy_bound_j for device in devices)
    silent = [device for device, counter in counters.items() if counter is None]
    if silent:
        fallback = (
            "the energy is missing"
            if total_j is None
            else "the integral of instant power stands in, without a hard bound"
        )
        warnings.append(
            f"the energy counter of {', '.join(silent)} stands still, fell or is missing in the "
            f"window; {fallback}"
        )
    if total_j and bound_j and bound_j > _BOUND_LIMIT * total_j:
        warnings.append(
            f"the window is short for this meter: the bound is {bound_j / total_j:.0%} of the "
            "energy; raise energy.min_window_seconds"
        )
    disagreement = _disagreement(counter_j, integrated_j)
    duration_s = window[1] - window[0]
    comparable = disagreement is not None and duration_s >= _COMPARABLE_S
    if comparable and abs(disagreement or 0.0) > _DISAGREEMENT_LIMIT:
        warnings.append(f"counter and integrated power disagree by {disagreement:+.1%}")
    idle_w = _idle_power(of_device, baseline)
    adjusted_j = None
    if total_j is not None and idle_w is not None:
        adjusted_j = total_j - idle_w * duration_s
        if adjusted_j < 0:
            warnings.append("energy_adjusted_j is negative: the window drew less than the baseline")
    thermal = [d.device for d in devices if (d.throttled_thermal_s or 0) > 0]
    if thermal:
        warnings.append(f"held back by temperature during the window: {', '.join(thermal)}")
    return EnergyFigures(
        total_j=total_j,
        bound_j=bound_j,
        counter_j=counter_j,
        integrated_j=integrated_j,
        disagreement=disagreement,
        baseline_power_w=idle_w,
        adjusted_j=adjusted_j,
        method=None if total_j is None else _method(silent, source.devices),
        devices=devices,
        warnings=tuple(warnings),
    )


def _method(silent: Sequence[str], devices: Sequence[str]) -> str:
    if not silent:
        return COUNTER
    if len(silent) == len(devices):
        return INTEGRAL
    return f"{COUNTER}; for {', '.join(silent)}: {INTEGRAL}"


def _counter(samples: Sequence[Sample], span: tuple[float, float]) -> Estimate | None:
    """Return the counter's energy of one device."""
    readings = [
        Reading(s.t_s - s.bracket_s / 2, s.t_s + s.bracket_s / 2, s.energy_j)
        for s in samples
        if s.energy_j is not None
    ]
    return counter_energy(readings, *span)


def _integral(samples: Sequence[Sample], span: tuple[float, float]) -> float | None:
    """Return the integral of one device's power, or None where too much of it is not known."""
    readings: list[Point] = [(s.t_s, s.power_w) for s in samples if s.power_w is not None]
    spacings = [later.t_s - earlier.t_s for earlier, later in pairwise(samples)]
    # A few lost ticks are bridged; a device that was gone for longer may have drawn anything.
    longest_gap_s = max(_LONGEST_GAP_S, 10 * statistics.median(spacings)) if spacings else 0.0
    return integrated_energy(readings, *span, longest_gap_s=longest_gap_s)


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


def _idle_power(
    of_device: dict[str, list[Sample]], baseline: tuple[float, float] | None
) -> float | None:
    """Return the mean power of all devices over the idle phase, in watts."""
    if baseline is None:
        return None
    duration_s = baseline[1] - baseline[0]
    energies: list[float | None] = []
    for samples in of_device.values():
        counter = _counter(samples, baseline)
        energies.append(_integral(samples, baseline) if counter is None else counter.energy_j)
    total = _sum(energies)
    return None if total is None else total / duration_s


def _device(
    source: EnergySource,
    device: str,
    samples: Sequence[Sample],
    counter: Estimate | None,
    integral: float | None,
    window: tuple[float, float],
) -> DeviceWindow:
    inside = [s for s in samples if window[0] <= s.t_s <= window[1]]
    temperatures = [s.temperature_c for s in inside if s.temperature_c is not None]
    clocks = [s.sm_clock_mhz for s in inside if s.sm_clock_mhz is not None]
    mask = 0
    for sample in inside:
        mask |= sample.throttle_reasons or 0
    return DeviceWindow(
        device=device,
        energy_j=integral if counter is None else counter.energy_j,
        energy_bound_j=None if counter is None else counter.bound_j,
        power_limit_w=source.power_limit_w(device),
        temperature_start_c=temperatures[0] if temperatures else None,
        temperature_end_c=temperatures[-1] if temperatures else None,
        temperature_max_c=max(temperatures, default=None),
        sm_clock_mean_mhz=sum(clocks) / len(clocks) if clocks else None,
        throttled_power_s=_rise([s.throttled_power_s for s in samples], samples, window),
        throttled_thermal_s=_rise([s.throttled_thermal_s for s in samples], samples, window),
        throttle_reasons=reason_names(mask),
    )


def _rise(
    values: Sequence[float | None], samples: Sequence[Sample], window: tuple[float, float]
) -> float | None:
    """Return how far a cumulative counter rose from before the window to after it."""
    before = [
        v for v, s in zip(values, samples, strict=True) if v is not None and s.t_s <= window[0]
    ]
    after = [
        v for v, s in zip(values, samples, strict=True) if v is not None and s.t_s >= window[1]
    ]
    if not before or not after:
        return None
    return max(0.0, after[0] - before[-1])
