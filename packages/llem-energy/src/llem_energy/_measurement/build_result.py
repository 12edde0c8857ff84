"""Computes the result of one measurement from its raw data.

The only file that is read here is the model's config.json.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from llem_config.credentials import struck_out
from llem_energy._backends.protocol import Memory
from llem_energy._estimation.figures import Quality
from llem_energy._measurement.backend_facts import facts_of_result
from llem_energy._measurement.backend_reports import BackendReports
from llem_energy._measurement.energy_flags import time_flags
from llem_energy._measurement.energy_metrics import energy_metrics
from llem_energy._measurement.extra_tokens import extra_tokens
from llem_energy._measurement.input_reading import input_reading
from llem_energy._measurement.operations import window_flops
from llem_energy._measurement.raw_measurement import GenerationRecord, RawMeasurement
from llem_energy._measurement.roofline import rooflines
from llem_energy._metering.board_check import Exactness, exactness
from llem_energy._model_info.input_digest import damaged_files
from llem_energy._result.data_realism import data_realism
from llem_energy._result.experiment_result import ExperimentResult, Latency, Span
from llem_energy._result.measurement_figures import Sampling
from llem_energy._sources.protocol import Sample


def assemble(raw: RawMeasurement, reports: BackendReports) -> ExperimentResult:
    """Return the result of a measurement.

    Args:
        raw: everything that was measured.
        reports: which options the backend really used, and more.
    """
    config, workload = raw.config, raw.workload
    window, samples = raw.window, raw.samples
    window_s = window.end_s - window.start_s
    output_tokens = sum(sum(record.n_tokens) for record in raw.generations)
    reading = input_reading(raw.generations)
    extra = extra_tokens(raw.generations, reading)
    realism = data_realism(config, has_template=raw.chat_template is not None)
    facts = facts_of_result(config, _longest_tokens(raw.generations))
    first, between = _latencies(raw.generations)
    flops, effective_config = window_flops(raw.generations, reports), reports.effective_config()
    energy = energy_metrics(raw, reading=reading, output_tokens=output_tokens)
    has_energy = energy.total.value is not None or energy.host.energy.value is not None
    inside = samples.between(window.start_s, window.end_s)
    return ExperimentResult(
        measurement_config_hash=raw.config_hash,
        config=config.model_dump(mode="json", exclude_none=True, exclude={"paths"}),
        effective_config=effective_config,
        started_at=raw.started_at.isoformat(),
        ended_at=datetime.now(UTC).isoformat(),
        n_prompts=config.n,
        n_repeats=window.n_repeats,
        n_truncated_prompts=workload.n_truncated,
        prompts_sha256=raw.prompts_sha256,
        chat_template=raw.chat_template,
        inputs=raw.inputs,
        input_tokens=reading.n_tokens,
        output_tokens=output_tokens,
        window_s=window_s,
        tokens_per_second=output_tokens / window_s,
        time_to_first_token=first,
        inter_token_latency=between,
        peak_memory_bytes=raw.memory.peak_bytes,
        weights_memory_bytes=raw.memory.weights_bytes,
        memory_method=raw.memory.method,
        rest_memory_bytes=_rest(raw.memory),
        memory_estimate=facts.memory_estimate,
        flops=flops,
        measurement_methodology="steady_state" if config.warmup.enabled else "total",
        steady_state_window=Span(start_s=window.start_s, end_s=window.end_s),
        n_warmup=raw.warm_up.report.n_repeats,
        warmup_excluded_samples=samples.n_before(window.start_s),
        warmup_converged=raw.warm_up.converged,
        n_samples=len(inside),
        timeseries_file=samples.file.name if samples.file else None,
        requests_file=raw.requests_file,
        environment_snapshot=raw.environment,
        # A sentence of a library may repeat a password, and results are shared.
        measurement_warnings=tuple(
            map(
                struck_out,
                (
                    *energy.warnings,
                    *reading.warnings(),
                    *extra.warnings(),
                    *realism.warnings(has_energy=has_energy),
                    *reports.warnings(),
                    *reports.problems,
                    *facts.warnings,
                    *_warnings(raw),
                ),
            )
        ),
        reproducibility_notes=tuple(_notes(raw)),
        warmup=raw.warm_up.report,
        sampling=_sampling(inside),
        calibration=raw.calibration,
        energy_status=energy.total.quality.status,
        energy_source=energy.source,
        energy_source_kind=energy.source_kind,
        energy_method=energy.window.method,
        energy_total_j=energy.total.value,
        energy_bound_j=energy.window.bound_j,
        energy_uncertainty_j=energy.window.uncertainty_j,
        energy_counter_j=energy.counter.value,
        energy_integrated_j=energy.integrated.value,
        energy_disagreement=energy.window.disagreement,
        energy_per_device_j={each.device: each.energy_j for each in energy.window.devices},
        baseline_power_w=energy.baseline_power.value,
        energy_adjusted_j=energy.adjusted.value,
        energy_per_output_token_j=energy.per_output_token.value,
        energy_per_input_token_j=energy.per_input_token.value,
        energy_per_prompt_j=energy.per_prompt.value,
        energy_host_j=energy.host.energy.value,
        energy_host_bound_j=energy.host.bound_j,
        energy_host_source=energy.host.source,
        energy_per_output_token_with_host_j=energy.host.per_output_token.value,
        energy_estimated_j=energy.estimated.value,
        energy_estimate_method=energy.estimate_method,
        devices=energy.window.devices,
        figures=energy.qualities | _speed_qualities(raw, first, between),
        load_before=raw.load_before,
        load_in_window=window.load,
        stops=window.stops,
        error_budget=realism.in_budget(energy.window.budget),
        baseline=energy.baseline,
        phases=energy.phases,
        cached_input_tokens=reading.n_cached,
        data_realism=realism,
        n_padding_tokens=extra.n_padding,
        padding_share=extra.padding_share,
        n_tokens_after_end=extra.n_after_end,
        energy_gain_corrected_j=energy.gain_corrected.value,
        gains=energy.window.gains,
        counter_exactness=_exactness(raw),
        board_checks=raw.board_checks,
        roofline=rooflines(raw, reports, energy.phases),
        device_peaks=raw.peaks.found,
        quality=raw.quality,
        neighbours=raw.neighbours,
    )


def _speed_qualities(
    raw: RawMeasurement, first: Latency | None, between: Latency | None
) -> dict[str, Quality]:
    """Return the quality of every figure of time, by its field."""
    measured = Quality("ok").with_reasons(time_flags(raw, raw.window))
    missing = Quality("missing", ("the backend reported no times of tokens",))
    return {
        "window_s": measured,
        "tokens_per_second": measured,
        "time_to_first_token": measured if first else missing,
        "inter_token_latency": measured if between else missing,
    }


def _exactness(raw: RawMeasurement) -> Exactness | None:
    """Return what is known of the counters; None without a GPU that is metered."""
    if raw.source is None or raw.source.kind != "gpu":
        return None
    return exactness(raw.board_checks, raw.source.devices)


def _sampling(inside: Sequence[Sample]) -> Sampling | None:
    """Return how well the worst device was sampled."""
    times: dict[str, list[float]] = {}
    for sample in inside:
        times.setdefault(sample.device, []).append(sample.t_s)
    gaps_s = [max((b - a for a, b in pairwise(t)), default=0.0) for t in times.values()]
    n_min = min((len(t) for t in times.values()), default=0)
    if n_min < 2:
        return None
    spans_s = [t[-1] - t[0] for t in times.values()]
    durations_s = sorted(sample.read_duration_s for sample in inside)
    return Sampling(
        n=n_min,
        rate_hz=(n_min - 1) / max(spans_s),
        worst_gap_s=max(gaps_s),
        bracket_p99_s=durations_s[math.ceil(0.99 * len(durations_s)) - 1],
    )


def _rest(memory: Memory) -> int | None:
    if memory.peak_bytes is None or memory.weights_bytes is None:
        return None
    return memory.peak_bytes - memory.weights_bytes


def _latencies(records: Sequence[GenerationRecord]) -> tuple[Latency | None, Latency | None]:
    """Return time to first token and between tokens, over every batch of the window."""
    first: list[float] = []
    between: list[float] = []
    for record in records:
        if record.times_s:
            first.append(record.times_s[0])
            between += [later - earlier for earlier, later in pairwise(record.times_s)]
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


def _longest_tokens(records: Sequence[GenerationRecord]) -> int:
    """Return the tokens of the longest prompt with its output."""
    return max(
        (
            n_input + n_output
            for record in records
            for n_input, n_output in zip(record.batch.lengths, record.n_tokens, strict=True)
        ),
        default=0,
    )


def _warnings(raw: RawMeasurement) -> Iterator[str]:
    if raw.workload.n_truncated:
        yield (
            f"{raw.workload.n_truncated} of {raw.config.n} prompts were cut to "
            f"max_input_tokens {raw.config.max_input_tokens}"
        )
        if raw.chat_template is not None:
            yield (
                "the cut prompts lack the end of their chat template, so that their output is not "
                "an answer; raise max_input_tokens"
            )
    yield from damaged_files(raw.inputs)
    if raw.n_compilations:
        yield (
            f"code was compiled {raw.n_compilations} times inside the window; its time and energy "
            "include the compilation"
        )
    if raw.samples.error is not None:
        yield f"some samples could not be written: {raw.samples.error}"
    if raw.requests_problem is not None:
        yield f"the requests could not be written: {raw.requests_problem}"


def _notes(raw: RawMeasurement) -> Iterator[str]:
    config = raw.config
    if config.weights == "random":
        yield f"the random weights are drawn from seed {config.random_seed}"
    if config.decoder.do_sample:
        yield f"sampled with seed {config.random_seed}; the repeats inside the window differ"
    if raw.chosen_column is not None:
        yield f"the prompts are the column {raw.chosen_column!r} of {config.dataset.source}"
    if raw.n_answers_removed:
        yield (
            f"{raw.n_answers_removed} answers at the ends of the conversations were removed: the "
            "model answers instead"
        )
    if raw.chat_template is not None and raw.chat_template.uses_date:
        yield "the chat template can write today's date into the prompts, which differ on another day"
