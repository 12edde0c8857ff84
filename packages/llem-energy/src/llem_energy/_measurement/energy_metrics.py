"""Every energy figure of a result, with its quality; the part of the result that a meter gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from llem_energy._estimation.cpu_model import METHOD, estimated_energy_j
from llem_energy._estimation.figures import Quality
from llem_energy._estimation.window_energy import EnergyFigures, energy_figures
from llem_energy._measurement.baseline import baseline_figures
from llem_energy._measurement.raw_measurement import PhaseSpan, RawMeasurement
from llem_energy._metering.window import MeasuredSpan
from llem_energy._result.measurement_figures import Baseline, PhaseResult
from llem_energy._sources.protocol import Sample

_AROUND_S = 3.0  # of a window: its guards and the updates after it


class EnergyPart(msgspec.Struct, frozen=True):
    """Fields of `ExperimentResult`, and warnings about them."""

    fields: dict[str, Any]
    warnings: tuple[str, ...]


def energy_part(evidence: RawMeasurement, *, input_tokens: int, output_tokens: int) -> EnergyPart:
    """Return the energy figures of a measurement.

    Args:
        evidence: what was gathered.
        input_tokens: of the window, repeats included.
        output_tokens: of the window, repeats included.
    """
    config, window = evidence.config, evidence.window
    found = _figures(evidence, window)
    baseline, idle_quality = _baseline(evidence)
    whose = [*_source_doubts(evidence), *_neighbours(evidence)]
    if evidence.sampler_failure:
        whose.append(f"the sampler stopped early: {evidence.sampler_failure}")
    doubts = [*whose, *_warm_up_doubts(evidence)] if evidence.source else _absent(evidence)
    total = _with(found.total, doubts)
    adjusted_j, adjusted = _adjusted(found.total_j, total, baseline, idle_quality, window)
    estimated = config.energy.estimate
    phases = tuple(_phase(evidence, one, baseline, idle_quality, doubts) for one in evidence.phases)
    quality = {
        "energy_total_j": total,
        "energy_counter_j": _with(found.counter, whose),
        "energy_integrated_j": _with(found.integrated, whose),
        "baseline_power_w": idle_quality,
        "energy_adjusted_j": adjusted,
        "energy_per_output_token_j": _ratio(total, output_tokens, "output tokens"),
        "energy_per_input_token_j": _ratio(total, input_tokens, "input tokens"),
        "energy_per_prompt_j": total,
        "energy_estimated_j": Quality("flagged", ("modelled, not measured",))
        if estimated
        else Quality("missing", ("no estimate was asked for",)),
    }
    fields: dict[str, Any] = {
        "energy_status": total.status,
        "energy_source": None if evidence.source is None else evidence.source.name,
        "energy_source_kind": None if evidence.source is None else evidence.source.kind,
        "energy_method": found.method,
        "energy_total_j": found.total_j,
        "energy_bound_j": found.bound_j,
        "energy_uncertainty_j": found.uncertainty_j,
        "energy_counter_j": found.counter_j,
        "energy_integrated_j": found.integrated_j,
        "energy_disagreement": found.disagreement,
        "energy_per_device_j": {device.device: device.energy_j for device in found.devices},
        "baseline_power_w": baseline.power_w,
        "energy_adjusted_j": adjusted_j,
        "energy_per_output_token_j": _per(found.total_j, output_tokens),
        "energy_per_input_token_j": _per(found.total_j, input_tokens),
        "energy_per_prompt_j": _per(found.total_j, config.n * window.n_repeats),
        "energy_estimated_j": estimated_energy_j(window.cpu_time_s) if estimated else None,
        "energy_estimate_method": METHOD if estimated else None,
        "devices": found.devices,
        "figures": quality,
        "error_budget": found.budget,
        "baseline": baseline if evidence.source is not None else None,
        "phases": phases,
    }
    warnings = [*total.reasons, *_warm_up_doubts(evidence)]
    if adjusted.status == "flagged":
        own = [reason for reason in adjusted.reasons if reason not in total.reasons]
        warnings += [f"energy_adjusted_j: {reason}" for reason in own]
    warnings += _phase_warnings(phases, total.reasons)
    return EnergyPart(fields, tuple(dict.fromkeys(warnings)))


def _samples(evidence: RawMeasurement, span: MeasuredSpan) -> list[Sample]:
    return evidence.samples.between(span.start_s - _AROUND_S, span.end_s + _AROUND_S)


def _figures(evidence: RawMeasurement, span: MeasuredSpan) -> EnergyFigures:
    samples = _samples(evidence, span) if evidence.source is not None else []
    return energy_figures(evidence.source, samples, span, evidence.calibration)


def _baseline(evidence: RawMeasurement) -> tuple[Baseline, Quality]:
    if evidence.source is None:
        return Baseline(), Quality("missing", ("nothing was metered",))
    return baseline_figures(
        evidence.source,
        evidence.samples.between,
        evidence.idles,
        evidence.calibration,
        (evidence.window.start_s + evidence.window.end_s) / 2,
        evidence.environment.boot_id,
    )


def _absent(evidence: RawMeasurement) -> list[str]:
    return [f"no energy was measured: {'; '.join(evidence.reasons)}"]


def _source_doubts(evidence: RawMeasurement) -> Iterator[str]:
    source = evidence.source
    if source is None:
        return
    if source.kind == "cpu" and evidence.gpus:
        why = f" ({'; '.join(evidence.reasons)})" if evidence.reasons else ""
        yield (
            f"GPU energy could not be measured{why}; "
            f"energy_total_j covers the CPU only ({source.name})"
        )
    if source.kind == "gpu" and not evidence.gpus:
        yield (
            "the backend reported no GPU of its own; the GPUs of this machine's settings "
            "(devices.gpus) were metered"
        )


def _neighbours(evidence: RawMeasurement) -> Iterator[str]:
    """Name the processes that shared a metered GPU: what they drew is in the total."""
    metered = evidence.source.devices if evidence.source is not None else ()
    for gpu in evidence.environment.gpus:
        if gpu.n_other_processes and gpu.uuid in metered:
            yield f"{gpu.n_other_processes} other processes were on GPU {gpu.index} at the start"


def _warm_up_doubts(evidence: RawMeasurement) -> Iterator[str]:
    warm_up = evidence.warm_up
    if warm_up.converged is False:
        yield f"after {warm_up.report.n_repeats} warm-up repeats {warm_up.problem}"
    if not evidence.config.warmup.enabled:
        yield "no warm-up: compilation and cache set-up are inside the window"


def _with(quality: Quality, more: Sequence[str]) -> Quality:
    if quality.status == "missing":
        known = () if more and quality.reasons == ("nothing was metered",) else quality.reasons
        return Quality("missing", (*known, *more))
    reasons = (*quality.reasons, *more)
    return Quality("flagged" if reasons else "ok", reasons)


def _ratio(total: Quality, n_tokens: int, what: str) -> Quality:
    if n_tokens == 0:
        return Quality("missing", (f"there were no {what}",))
    return total


def _adjusted(
    total_j: float | None, total: Quality, baseline: Baseline, idle: Quality, span: MeasuredSpan
) -> tuple[float | None, Quality]:
    if total_j is None or baseline.power_w is None:
        return None, Quality("missing", total.reasons if total_j is None else idle.reasons)
    adjusted_j = total_j - baseline.power_w * (span.end_s - span.start_s)
    reasons = [*total.reasons, *idle.reasons]
    if adjusted_j < 0:
        reasons.append("it is negative: the window drew less than the baseline")
    return adjusted_j, Quality("flagged" if reasons else "ok", tuple(reasons))


def _per(energy_j: float | None, count: int) -> float | None:
    return None if energy_j is None or count == 0 else energy_j / count


def _phase(
    evidence: RawMeasurement,
    measured: PhaseSpan,
    baseline: Baseline,
    idle: Quality,
    doubts: Sequence[str],
) -> PhaseResult:
    span, phase = measured.span, measured.phase
    if span is None or phase is None:
        reason = (measured.problem or "it was not measured",)
        return PhaseResult(
            phase=measured.name, n_prompts=None, n_repeats=None, n_tokens=None, window_s=None,
            tokens_per_second=None, energy_j=None, energy_bound_j=None, energy_uncertainty_j=None,
            energy_method=None, energy_per_token_j=None, energy_adjusted_j=None,
            quality=Quality("missing", reason),
        )  # fmt: skip
    found = _figures(evidence, span)
    window_s = span.end_s - span.start_s
    n_tokens = phase.n_tokens * span.n_repeats
    total = _with(found.total, doubts)
    adjusted_j, adjusted = _adjusted(found.total_j, total, baseline, idle, span)
    if adjusted_j is not None:
        about = [f"energy_adjusted_j: {r}" for r in adjusted.reasons if r not in total.reasons]
        total = _with(total, about)
    return PhaseResult(
        phase=phase.name,
        n_prompts=phase.n_prompts,
        n_repeats=span.n_repeats,
        n_tokens=n_tokens,
        window_s=window_s,
        tokens_per_second=n_tokens / window_s,
        energy_j=found.total_j,
        energy_bound_j=found.bound_j,
        energy_uncertainty_j=found.uncertainty_j,
        energy_method=found.method,
        energy_per_token_j=_per(found.total_j, n_tokens),
        energy_adjusted_j=adjusted_j,
        quality=total,
    )


def _phase_warnings(phases: Sequence[PhaseResult], known: Sequence[str]) -> Iterator[str]:
    for one in phases:
        for reason in one.quality.reasons:
            if reason not in known:
                yield f"{one.phase} alone: {reason}"
