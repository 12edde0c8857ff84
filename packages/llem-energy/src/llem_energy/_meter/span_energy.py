"""From the samples around a window to its energy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from llem_energy._estimation.beats import Step
from llem_energy._estimation.window_energy import energy_figures
from llem_energy._meter.window_energy import WindowEnergy
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.gain_store import GainCalibration
from llem_energy._metering.span import WindowSpan
from llem_energy._sources.protocol import EnergySource, Sample

AROUND_S = 3.0
"""Readings before and after a window that its figures use."""
_LONGER = "meter a longer window"


def window_energy(
    source: EnergySource,
    samples: Sequence[Sample],
    span: WindowSpan,
    calibration: Sequence[Calibration] = (),
    *,
    gains: Sequence[GainCalibration] = (),
    seen: Collection[str] = (),
    exact: Collection[str] = (),
    late_s: Mapping[str, float] | None = None,
    reasons: Sequence[str] = (),
    steps_s: Collection[Step] = (),
) -> WindowEnergy:
    """Return the energy of a window from samples, also from ones that were stored.

    Args:
        source: what was read.
        samples: of all its devices in time order, from three seconds before the window to after it.
        span: the window.
        calibration: of the devices, if known.
        gains: of sensors that were calibrated with an external meter, of any device.
        seen: devices whose counter was found to observe them all the time.
        exact: devices whose counter was found to be exact, so that it does not lag.
        late_s: by how much such a counter may be late all the same, in seconds, for each device.
        reasons: why the energy is flagged, besides what the samples show.
        steps_s: times that repeat in the window: between tokens, of batches, of repeats.
    """
    advice = _LONGER if span.guard_s else f"{_LONGER}, or use the mode exact"
    figures = energy_figures(
        source, samples, span, calibration, gains, seen=seen, exact=exact, late_s=late_s,
        advice=advice, steps_s=steps_s,
    )  # fmt: skip
    return WindowEnergy(
        total_j=figures.total_j,
        bound_j=figures.bound_j,
        uncertainty_j=figures.uncertainty_j,
        quality=figures.total.with_reasons(reasons),
        devices=figures.devices,
        method=figures.method,
        counter_j=figures.counter_j,
        integrated_j=figures.integrated_j,
        gain_share=figures.budget.gain_share if figures.budget else None,
        sampling_j=figures.budget.sampling_j if figures.budget else None,
        source=source.name,
        kind=source.kind,
    )
