"""The energy of the processor beside the GPUs: a figure of its own, never part of the total."""

from __future__ import annotations

import msgspec

from llem_energy._estimation.figures import Figure, Quality
from llem_energy._estimation.window_energy import EnergyFigures, energy_figures
from llem_energy._measurement.energy_flags import time_flags
from llem_energy._measurement.load_flags import shared_meter_flags
from llem_energy._measurement.raw_measurement import RawMeasurement
from llem_energy._measurement.window_readings import readings_around
from llem_energy._metering.meter_failures import failed_in_window, last_errors


class HostEnergy(msgspec.Struct, frozen=True):
    """What the processor used while the GPUs worked."""

    source: str | None
    energy: Figure
    bound_j: float | None
    per_output_token: Figure
    """Of GPUs and processor together."""

    @property
    def qualities(self) -> dict[str, Quality]:
        """Return the quality of each figure by its field in the result."""
        return {
            "energy_host_j": self.energy.quality,
            "energy_per_output_token_with_host_j": self.per_output_token.quality,
        }


def host_energy(raw: RawMeasurement, total: Figure, output_tokens: int) -> HostEnergy:
    """Return the energy of the processor in the window, and that of both per output token.

    Args:
        raw: the measurement.
        total: of what was metered as `energy_total_j`.
        output_tokens: of the window, repeats included.
    """
    source, span = raw.host.source, raw.window
    if source is None:
        nothing = Figure(None, Quality("missing", (_why_missing(raw),)))
        return HostEnergy(None, nothing, None, nothing)
    samples = readings_around(raw.host.samples, span)
    window: EnergyFigures = energy_figures(source, samples, span)
    flags = (*shared_meter_flags(span), *time_flags(raw, span))
    quality = window.total
    if quality.status == "missing":
        failures = failed_in_window(
            samples, span, source.devices, raw.host.failure, last_errors(source)
        )
        quality = quality.with_reasons(failures)
    energy = Figure(window.total_j, quality.with_reasons(flags))
    both = _sum(total, energy).per(output_tokens, "output tokens")
    return HostEnergy(source.name, energy, window.bound_j, both)


def _why_missing(raw: RawMeasurement) -> str:
    if raw.source is not None and raw.source.kind != "gpu":
        return f"energy_total_j already includes the processor ({raw.source.name})"
    why = "; ".join(raw.host.reasons or raw.reasons)
    return why or "energy.sources names no meter of the processor after that of the GPUs"


def _sum(total: Figure, host: Figure) -> Figure:
    """Return the sum of two energies; missing if either is."""
    reasons = tuple(dict.fromkeys((*total.quality.reasons, *host.quality.reasons)))
    if total.value is None or host.value is None:
        return Figure(None, Quality("missing", reasons))
    return Figure(total.value + host.value, Quality("flagged" if reasons else "ok", reasons))
