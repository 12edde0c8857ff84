"""The columns of the table of runs, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from llem_energy import ExperimentResult
from llem_energy.records import (
    AnswerQuality,
    Baseline,
    ChatTemplate,
    ContextIdle,
    DataRealism,
    DevicePeaks,
    EnvironmentSnapshot,
    ErrorBudget,
    Flops,
    HostLoad,
    Latency,
    MemoryEstimate,
    PeakConditions,
    Peaks,
    PhaseResult,
    PhaseRoofline,
    Sampling,
    Span,
    WarmUpReport,
    WindowStops,
)
from llem_report._study_data.figures import FIGURES as ALL
from llem_report._study_data.figures import FURTHER, SHARES
from llem_report._tables.columns import Column, column
from llem_report._tables.config_part import config_part
from llem_report._tables.open_parts import (
    OpenPart,
    device_part,
    effective_part,
    factor_part,
    gpu_part,
    other_config_part,
    package_part,
)
from llem_report._tables.run_records import RunRecord
from llem_report._tables.start_part import start_part
from llem_report._tables.struct_columns import Part, struct_part
from llem_runner.records import ManifestEntry, StudyManifest

FIGURES = (
    "energy_total_j", "energy_per_output_token_j", "energy_per_input_token_j", "energy_per_prompt_j",
    "energy_adjusted_j", "energy_counter_j", "energy_integrated_j", "energy_estimated_j",
    "energy_gain_corrected_j",
    "energy_host_j", "energy_per_output_token_with_host_j",
    "baseline_power_w", "window_s", "tokens_per_second", "time_to_first_token", "inter_token_latency",
)  # fmt: skip
"""The figures whose quality `result.json` states."""
_FIRST = (
    "energy_per_output_token_j", "energy_total_j", "energy_bound_j", "energy_status", "tokens_per_second",
    "window_s", "input_tokens", "output_tokens", "peak_memory_bytes",
)  # fmt: skip
_ELSEWHERE = (
    "schema_version", "measurement_config_hash", "started_at", "ended_at", "timeseries_file",
    "requests_file", "measurement_warnings", "reproducibility_notes",
)  # fmt: skip
_RESULT = "result.json: "
_STRUCTS: tuple[tuple[str, type[msgspec.Struct], str, str], ...] = (
    ("error_budget", ErrorBudget, "error_budget", "Error of the energy:"),
    ("data", DataRealism, "data_realism", "Data:"),
    ("baseline", Baseline, "baseline", "Idle power:"),
    ("baseline.context", ContextIdle, "baseline.context", "Idle power before loading:"),
    ("warmup", WarmUpReport, "warmup", "Warm-up:"),
    ("sampling", Sampling, "sampling", "Sampling:"),
    ("window", Span, "steady_state_window", "Measured window:"),
    ("memory_estimate", MemoryEstimate, "memory_estimate", "Memory estimated before loading:"),
    ("flops", Flops, "flops", "Floating-point operations:"),
    ("device_peaks", DevicePeaks, "device_peaks", "Peaks of the device:"),
    ("device_peaks", PeakConditions, "device_peaks.conditions", "Peaks of the device:"),
    ("device_peaks", Peaks, "device_peaks.peaks", "Peaks of the device:"),
    ("load_before", HostLoad, "load_before", "Other load before the window:"),
    ("load_in_window", HostLoad, "load_in_window", "Other load in the window:"),
    ("stops", WindowStops, "stops", "Stops in the window:"),
    ("chat_template", ChatTemplate, "chat_template", "Chat template:"),
    ("answers", AnswerQuality, "quality", "Quality of the answers:"),
)
OTHER_MACHINE = "other_machine"
"""The column that depends on all runs."""
_INPUTS = ("model", "draft model", "adapter", "data set", "chat template")


def run_parts() -> list[Part | OpenPart]:
    """Return the columns of the table of runs, in order."""
    return [
        *_identity_parts(),
        factor_part(),
        *_figure_parts(),
        _derived_part(),
        *_quality_parts(),
        *(_phase_part(phase) for phase in ("prefill", "decode")),
        *(_roofline_part(phase) for phase in ("prefill", "decode")),
        config_part(),
        other_config_part(),
        effective_part(),
        gpu_part(),
        device_part(),
        *(_struct(*row) for row in _STRUCTS),
        _struct("environment", EnvironmentSnapshot, "environment_snapshot", "Machine:"),
        package_part(),
        _input_part(),
        start_part(),
        *_other_parts(),
    ]


def _identity_parts() -> list[Part]:
    identity = struct_part(
        ManifestEntry,
        attrgetter("entry"),
        source="manifest.json: entries[].",
        names=(
            "index", "cycle", "config_hash", "label", "status", "error_reason", "started_at",
            "ended_at", "attempts",
        ),
    )  # fmt: skip
    names = [each.name for each in identity.columns]
    columns = tuple(map(_as_run_column, identity.columns))

    def values(record: RunRecord) -> tuple[Any, ...]:
        if record.entry is not None:
            return identity.values(record)
        return tuple("skipped" if name == "status" else None for name in names)

    return [
        struct_part(
            StudyManifest,
            attrgetter("manifest"),
            source="manifest.json: ",
            names=("study_name", "study_design_hash"),
        ),
        Part(columns, values),
    ]


def _as_run_column(each: Column) -> Column:
    if each.name == "index":
        return msgspec.structs.replace(each, name="run_index")
    if each.name == "status":
        text = (
            "State of the run: pending, running, completed, failed or interrupted; skipped for a "
            "point that its backend cannot run."
        )
        return msgspec.structs.replace(each, description=text)
    return each


def _figure_parts() -> list[Part]:
    parts = [
        struct_part(ExperimentResult, _result, source=_RESULT, names=_FIRST),
    ]
    for name, about in (
        ("time_to_first_token", "Time to the first token, per batch:"),
        ("inter_token_latency", "Time between two tokens, per step:"),
    ):
        get = _below_result(name)
        source = f"{_RESULT}{name}."
        parts.append(struct_part(Latency, get, source=source, prefix=f"{name}_", about=about))
    without = (*_FIRST, *_ELSEWHERE)
    parts.append(struct_part(ExperimentResult, _result, source=_RESULT, without=without))
    return parts


def _derived_part() -> Part:
    figures = [*(ALL[name] for name in FURTHER), *SHARES.values()]
    source = f"{_RESULT}several fields; of emissions and cost also study_result.json"

    def values(record: RunRecord) -> tuple[float | None, ...]:
        if record.result is None:
            return (None,) * len(figures)
        return tuple(figure.value(record.result, record.site) for figure in figures)

    columns = tuple(
        column(info.name, "number", f"{info.title[0].upper()}{info.title[1:]}.", source)
        for info in (figure.info for figure in figures)
    )
    return Part(columns, values)


def _quality_parts() -> list[Part]:
    def part(prefix: str, kind: Any, about: str, get: Callable[[Any], Any]) -> Part:
        field = "status" if kind == "text" else "reasons"
        columns = tuple(
            column(f"{prefix}.{name}", kind, about.format(name), f"{_RESULT}figures.{name}.{field}")
            for name in FIGURES
        )

        def values(record: RunRecord) -> tuple[Any, ...]:
            qualities = record.result.figures if record.result else {}
            return tuple(get(qualities.get(name)) for name in FIGURES)

        return Part(columns, values)

    return [
        part("quality", "text", "Quality of `{}`: ok, flagged or missing.",
             lambda quality: quality and quality.status),
        part("reasons", "texts", "Why `{}` is flagged or missing.",
             lambda quality: quality and quality.reasons),
    ]  # fmt: skip


def _phase_part(phase: str) -> Part:
    def get(record: RunRecord) -> PhaseResult | None:
        phases: Sequence[PhaseResult] = record.result.phases if record.result else ()
        return next((result for result in phases if result.phase == phase), None)

    return struct_part(
        PhaseResult,
        get,
        source=f"{_RESULT}phases[{phase}].",
        prefix=f"phase.{phase}.",
        about=f"{phase.capitalize()} alone:",
        without=("phase",),
    )


def _roofline_part(phase: str) -> Part:
    def get(record: RunRecord) -> PhaseRoofline | None:
        found: Sequence[PhaseRoofline] = record.result.roofline if record.result else ()
        return next((each for each in found if each.phase == phase), None)

    return struct_part(
        PhaseRoofline,
        get,
        source=f"{_RESULT}roofline[{phase}].",
        prefix=f"roofline.{phase}.",
        about=f"{phase.capitalize()}:",
        without=("phase",),
    )


def _struct(prefix: str, struct: type[msgspec.Struct], route: str, about: str) -> Part:
    return struct_part(
        struct,
        _below_result(route),
        source=f"{_RESULT}{route}.",
        prefix=f"{prefix}.",
        about=about,
    )


def _input_part() -> Part:
    columns = tuple(
        column(
            f"input.{role.replace(' ', '_')}_sha256",
            "text",
            f"Digest of the files of the {role} that was read; null if there is none.",
            f"{_RESULT}inputs[{role}].sha256",
        )
        for role in _INPUTS
    )

    def values(record: RunRecord) -> tuple[Any, ...]:
        inputs = record.result.inputs if record.result else ()
        found: dict[str, str | None] = {each.role: each.sha256 for each in inputs}
        return tuple(found.get(role) for role in _INPUTS)

    return Part(columns, values)


def _other_parts() -> list[Part]:
    notes = ("measurement_warnings", "reproducibility_notes")
    times = struct_part(
        ExperimentResult, _result, source=_RESULT, names=("started_at", "ended_at"),
        prefix="measurement_", about="Of the measurement, without the start of its process:",
    )  # fmt: skip
    entry = struct_part(
        ManifestEntry,
        attrgetter("entry"),
        source="manifest.json: entries[].",
        names=(
            "executor", "run_s", "gap_s", "result_file", "error_type", "error_message", "shard",
        ),
    )  # fmt: skip
    problem = column(
        "problem",
        "text",
        "Why the stored result is not used or was changed, or why the point cannot run.",
        "result.json or study_resolved.json: skipped[].reason",
    )
    other = column(
        OTHER_MACHINE,
        "text",
        "In what the machine differs from that of most runs, so that the run is not compared; null if not.",
        f"{_RESULT}environment_snapshot of all runs",
    )
    return [
        times,
        entry,
        struct_part(ExperimentResult, _result, source=_RESULT, names=notes),
        Part((other,), lambda _: (None,)),  # known once all runs have been read
        Part((problem,), lambda record: (record.problem,)),
    ]


def _result(record: RunRecord) -> ExperimentResult | None:
    return record.result


def _below_result(route: str) -> Callable[[RunRecord], Any]:
    names = route.split(".")

    def get(record: RunRecord) -> Any:
        value: Any = record.result
        for name in names:
            value = None if value is None else getattr(value, name)
        return value

    return get
