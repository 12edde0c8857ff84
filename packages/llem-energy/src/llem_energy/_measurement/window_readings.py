"""The readings that belong to a window of a measurement, and the energy that they give."""

from __future__ import annotations

import statistics
from itertools import pairwise

from llem_energy._estimation.beats import Step, Sweep
from llem_energy._estimation.window_energy import EnergyFigures, energy_figures
from llem_energy._measurement.raw_measurement import RawMeasurement
from llem_energy._metering.board_check import exact, possible_delays_s, sees_all
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.window import MeasuredSpan
from llem_energy._sources.protocol import Sample

_AROUND_S = 3.0  # before and after a window: its guards, and the updates that follow it
_PART = 8  # of the tokens of a batch, at both ends
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
        steps_s=repeated_s(raw, span) if raw.gpus else (),
        n_parts=n_parts(raw, span),
        burst_s=prefill_s(raw) if span is raw.window else None,
    )


def prefill_s(raw: RawMeasurement) -> float | None:
    """Return the time to the first token of the first batch; None if the backend does not report it."""
    first = raw.generations[0].times_s if raw.generations else None
    return first[0] if first else None


def repeated_s(raw: RawMeasurement, span: MeasuredSpan) -> tuple[Step, ...]:
    """Return the times that repeat in a window, in seconds: of tokens, batches and repeats.

    Args:
        raw: the measurement.
        span: its window, or that of a phase.
    """
    phase = next((each for each in raw.phases if each.span is span), None)
    tokens_s = () if phase and phase.name == "prefill" else _token_times_s(raw, span)
    # A phase repeats its first batch.
    counts = {span.n_repeats} if phase else {span.n_repeats, len(raw.generations)}
    if n_parts(raw, span) > 1:  # random pauses make their lengths random
        counts = set()
    length_s = span.end_s - span.start_s
    return (*tokens_s, *sorted(length_s / n for n in counts if n > 1))


def _token_times_s(raw: RawMeasurement, span: MeasuredSpan) -> tuple[Step, ...]:
    """Return median and mean time between two tokens of a batch, and from which to which it changes.

    Returns:
        () if the backend does not report the times of tokens, or if there is one token only.
    """
    batches = [
        [later - earlier for earlier, later in pairwise(each.times_s or ())]
        for each in raw.generations
    ]
    steps_s = [step_s for batch in batches for step_s in batch]
    if not steps_s:
        return ()
    usual = (statistics.median(steps_s), statistics.fmean(steps_s))
    shares = [len(batch) // _PART for batch in batches]
    first = [s for batch, n in zip(batches, shares, strict=True) for s in batch[:n]]
    last = [s for batch, n in zip(batches, shares, strict=True) for s in batch[len(batch) - n :]]
    if not first:
        return usual
    n_times = len(batches) if span is raw.window else span.n_repeats
    return (*usual, Sweep(statistics.median(first), statistics.median(last), n_times))


def n_parts(raw: RawMeasurement, span: MeasuredSpan) -> int:
    """Return into how many parts random pauses divide a window; they follow each of its batches.

    A pause that is shorter than the period of a meter does not put steps to any place in it.

    Args:
        raw: the measurement.
        span: its window, or that of a phase.
    """
    longest_s = raw.config.energy.random_pause_seconds
    if longest_s is None or span is not raw.window:
        return 1
    periods_s = [s for c in raw.calibration for s in (c.counter_period_s, c.power_period_s) if s]
    return max(1, len(raw.generations)) if longest_s >= max(periods_s, default=0.0) else 1
