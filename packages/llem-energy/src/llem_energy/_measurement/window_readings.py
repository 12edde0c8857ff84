"""The readings that belong to a window of a measurement, and the energy that they give."""

from __future__ import annotations

import statistics
from itertools import pairwise

from llem_energy._estimation.window_energy import EnergyFigures, energy_figures
from llem_energy._measurement.raw_measurement import RawMeasurement
from llem_energy._metering.board_check import exact, possible_delays_s, sees_all
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
    return energy_figures(
        raw.source,
        samples,
        span,
        raw.calibration,
        raw.gains,
        seen=sees_all(raw.board_checks),
        exact=exact(raw.board_checks),
        late_s=possible_delays_s(raw.board_checks),
        # Steps of a model on the CPU do not change the power of a GPU.
        step_s=step_s(raw) if raw.gpus and not _is_prefill(raw, span) else None,
    )


def step_s(raw: RawMeasurement) -> float | None:
    """Return the median time between two tokens of a batch in the window, in seconds.

    Returns:
        None if the backend does not report the times of tokens, or if there is one token only.
    """
    times = (each.times_s or () for each in raw.generations)
    steps_s = [later - earlier for each in times for earlier, later in pairwise(each)]
    return statistics.median(steps_s) if steps_s else None


def _is_prefill(raw: RawMeasurement, span: MeasuredSpan) -> bool:
    return any(each.span is span and each.name == "prefill" for each in raw.phases)
