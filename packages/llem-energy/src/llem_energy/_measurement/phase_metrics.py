"""Tokens and energy of prefill and decode, each measured in a window of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llem_energy._estimation.figures import Figure, Quality
from llem_energy._measurement.baseline import RatedBaseline, without_baseline
from llem_energy._measurement.energy_flags import rated_total
from llem_energy._measurement.load_flags import load_flags
from llem_energy._measurement.raw_measurement import PhaseSpan, RawMeasurement
from llem_energy._measurement.window_readings import window_energy
from llem_energy._result.measurement_figures import PhaseResult


def phase_results(raw: RawMeasurement, baseline: RatedBaseline) -> tuple[PhaseResult, ...]:
    """Return the result of every phase; one that could not be measured says why."""
    return tuple(_phase_result(raw, measured, baseline) for measured in raw.phases)


def phase_warnings(phases: Sequence[PhaseResult], other_reasons: Sequence[str]) -> Iterator[str]:
    """Yield the reasons of phases that are not among the reasons of the whole window."""
    for phase in phases:
        for reason in phase.quality.reasons:
            if reason not in other_reasons:
                yield f"{phase.phase} alone: {reason}"


def _phase_result(raw: RawMeasurement, measured: PhaseSpan, baseline: RatedBaseline) -> PhaseResult:
    span, phase = measured.span, measured.phase
    if span is None or phase is None:
        return _not_measured(measured)
    energy = window_energy(raw, span)
    window_s = span.end_s - span.start_s
    n_tokens = phase.n_tokens * span.n_repeats
    total = Figure(energy.total_j, rated_total(raw, span, energy.total))
    adjusted = without_baseline(total, baseline, window_s)
    quality = total.quality
    if total.value is None:
        quality = quality.with_reasons(load_flags(span, on_gpu=bool(raw.gpus)))
    if adjusted.value is not None:
        quality = quality.with_reasons(
            [f"energy_adjusted_j: {reason}" for reason in adjusted.reasons_besides(total)]
        )
    return PhaseResult(
        phase=phase.name,
        n_prompts=phase.n_prompts,
        n_repeats=span.n_repeats,
        n_tokens=n_tokens,
        window_s=window_s,
        tokens_per_second=n_tokens / window_s,
        energy_j=total.value,
        energy_bound_j=energy.bound_j,
        energy_uncertainty_j=energy.uncertainty_j,
        energy_method=energy.method,
        energy_per_token_j=total.per(n_tokens, "tokens").value,
        energy_adjusted_j=adjusted.value,
        quality=quality,
    )


def _not_measured(measured: PhaseSpan) -> PhaseResult:
    return PhaseResult(
        phase=measured.name, n_prompts=None, n_repeats=None, n_tokens=None, window_s=None,
        tokens_per_second=None, energy_j=None, energy_bound_j=None, energy_uncertainty_j=None,
        energy_method=None, energy_per_token_j=None, energy_adjusted_j=None,
        quality=Quality("missing", (measured.problem or "it was not measured",)),
    )  # fmt: skip
