"""From the evidence of one measurement to its result: arithmetic only, nothing is read here."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from llem_energy._backend import Backend
from llem_energy._estimate import METHOD, estimated_energy_j
from llem_energy._evidence import Evidence, Window
from llem_energy._meter import EnergyFigures, energy_figures
from llem_energy._results import ExperimentResult, Flops, Latency, Span


def assemble(evidence: Evidence, backend: Backend) -> ExperimentResult:
    """Return the result; the backend still holds its model and says what it really used."""
    config, workload = evidence.config, evidence.workload
    window, warm_up = evidence.window, evidence.warm_up
    window_s = window.end_s - window.start_s
    counts = [answer.n_tokens() for _, answer in window.answers]
    output_tokens = sum(sum(one) for one in counts)
    input_tokens = window.n_repeats * sum(sum(batch.lengths) for batch in workload.batches)
    first, between = _latencies(window)
    energy = energy_figures(
        evidence.source,
        evidence.samples,
        window=(window.start_s, window.end_s),
        baseline=evidence.baseline,
    )
    warnings = list(_warnings(evidence, energy))
    total_j = energy.total_j
    return ExperimentResult(
        measurement_config_hash=evidence.config_hash,
        config=config.model_dump(mode="json", exclude_none=True),
        effective_config=backend.effective_config(),
        started_at=evidence.started_at.isoformat(),
        ended_at=datetime.now(UTC).isoformat(),
        n_prompts=config.n,
        n_repeats=window.n_repeats,
        n_truncated_prompts=workload.n_truncated,
        prompts_sha256=evidence.prompts_sha256,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        window_s=window_s,
        tokens_per_second=output_tokens / window_s,
        time_to_first_token=first,
        inter_token_latency=between,
        energy_status="missing" if total_j is None else "flagged" if warnings else "ok",
        energy_source=None if evidence.source is None else evidence.source.name,
        energy_method=energy.method,
        energy_total_j=total_j,
        energy_bound_j=energy.bound_j,
        energy_counter_j=energy.counter_j,
        energy_integrated_j=energy.integrated_j,
        energy_disagreement=energy.disagreement,
        energy_per_device_j={device.device: device.energy_j for device in energy.devices},
        baseline_power_w=energy.baseline_power_w,
        energy_adjusted_j=energy.adjusted_j,
        energy_per_output_token_j=_per(total_j, output_tokens),
        energy_per_input_token_j=_per(total_j, input_tokens),
        energy_per_prompt_j=_per(total_j, config.n * window.n_repeats),
        energy_estimated_j=estimated_energy_j(window.cpu_time_s) if _estimate(evidence) else None,
        energy_estimate_method=METHOD if _estimate(evidence) else None,
        peak_memory_bytes=evidence.memory.peak_bytes,
        weights_memory_bytes=evidence.memory.weights_bytes,
        memory_method=evidence.memory.method,
        flops=_flops(window, counts, backend),
        devices=energy.devices,
        measurement_methodology="steady_state" if config.warmup.enabled else "total",
        steady_state_window=Span(start_s=window.start_s, end_s=window.end_s),
        n_warmup=warm_up.n_repeats,
        warmup_excluded_samples=sum(s.t_s < window.start_s for s in evidence.samples),
        warmup_converged=warm_up.converged,
        n_samples=sum(window.start_s <= s.t_s <= window.end_s for s in evidence.samples),
        timeseries_file=evidence.timeseries_file,
        environment_snapshot=evidence.environment,
        measurement_warnings=tuple(warnings),
        reproducibility_notes=tuple(_notes(evidence)),
    )


def _estimate(evidence: Evidence) -> bool:
    return evidence.config.energy.estimate


def _per(energy_j: float | None, count: int) -> float | None:
    return None if energy_j is None or count == 0 else energy_j / count


def _latencies(window: Window) -> tuple[Latency | None, Latency | None]:
    """Return time to first token and between tokens, over every batch of the window."""
    first: list[float] = []
    between: list[float] = []
    for _, answer in window.answers:
        times = answer.token_times_s()
        if times:
            first.append(times[0])
            between += [later - earlier for earlier, later in pairwise(times)]
    return _distribution(first), _distribution(between)


def _distribution(durations: Sequence[float]) -> Latency | None:
    if not durations:
        return None
    if len(durations) == 1:
        (only,) = durations
        return Latency(n=1, mean_s=only, p50_s=only, p90_s=only, p99_s=only)
    cuts = statistics.quantiles(durations, n=100, method="inclusive")
    return Latency(
        n=len(durations),
        mean_s=statistics.fmean(durations),
        p50_s=cuts[49],
        p90_s=cuts[89],
        p99_s=cuts[98],
    )


def _flops(window: Window, counts: Sequence[Sequence[int]], backend: Backend) -> Flops | None:
    total, last = 0.0, None
    known: dict[tuple[int, int], Flops | None] = {}
    for (batch, _), outputs in zip(window.answers, counts, strict=True):
        for lengths in zip(batch.lengths, outputs, strict=True):
            if lengths not in known:
                known[lengths] = backend.flops(*lengths)
            last = known[lengths]
            if last is None:
                return None
            total += last.total
    return None if last is None else msgspec.structs.replace(last, total=total)


def _warnings(evidence: Evidence, energy: EnergyFigures) -> Iterator[str]:
    if evidence.source is None:
        yield f"no energy was measured: {'; '.join(evidence.reasons)}"
    elif evidence.gpus and evidence.source.name != "nvml":
        yield (
            f"the model ran on a GPU, but its energy is missing ({'; '.join(evidence.reasons)}); "
            f"energy_total_j holds {evidence.source.name} alone"
        )
    yield from energy.warnings
    if evidence.warm_up.converged is False:
        yield (
            f"the latency was not stationary after {evidence.warm_up.n_repeats} warm-up repeats "
            f"(cv_threshold {evidence.config.warmup.cv_threshold:g})"
        )
    if not evidence.config.warmup.enabled:
        yield "no warm-up: compilation and cache set-up are inside the window"
    if evidence.workload.n_truncated:
        yield (
            f"{evidence.workload.n_truncated} of {evidence.config.n} prompts were cut to "
            f"max_input_tokens {evidence.config.max_input_tokens}"
        )


def _notes(evidence: Evidence) -> Iterator[str]:
    config = evidence.config
    if config.weights == "random":
        yield f"random weights from seed {config.random_seed}: the text means nothing, the work does"
    if config.decoder.do_sample:
        yield f"sampled with seed {config.random_seed}; repeats inside the window differ"
    if config.pytorch and config.pytorch.trust_remote_code:
        yield "code that came with the model was run (trust_remote_code)"
    busy = [gpu for gpu in evidence.environment.gpus if gpu.n_other_processes]
    for gpu in busy:
        yield f"{gpu.n_other_processes} other processes were on GPU {gpu.index} at the start"
