"""The readings that belong to a window of a measurement, and the energy that they give."""

from __future__ import annotations

from llem_energy._estimation.window_energy import EnergyFigures, energy_figures
from llem_energy._measurement.raw_measurement import RawMeasurement
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.protocol import Sample

_AROUND_S = 3.0  # before and after a window: its guards, and the updates that follow it
_READING_S = 0.5  # a guard that lasts 3 s ends with a reading


def readings_around(recorder: Recorder, span: MeasuredSpan) -> list[Sample]:
    """Return the samples of a window and of its guards, in time order."""
    last_s = span.end_s + max(_AROUND_S, span.after_s + _READING_S)
    return recorder.between(span.start_s - _AROUND_S, last_s)


def window_energy(raw: RawMeasurement, span: MeasuredSpan) -> EnergyFigures:
    """Return the energy of the window, or of the window of a phase."""
    if raw.source is None:
        return EnergyFigures()
    samples = readings_around(raw.samples, span)
    return energy_figures(raw.source, samples, span, raw.calibration, raw.gains)
