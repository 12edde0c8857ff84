"""`boamps/*.json`: one report per run in the format BoAmps, for collections of energy figures of AI.

A run is a report of its own, because a report has one number of requests and programs may add up
the measures in it. What a study does not know, such as its publisher, is left out.

Source: the JSON schemas of BoAmps, version 0.1 (github.com/Boavizta/BoAmps, folder `model`), draft 4.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from llem_energy import ExperimentResult
from llem_report._tables.run_records import RunRecord
from llem_runner.records import ManifestEntry

BOAMPS = "boamps"
"""The folder of the reports."""
_MODEL = "https://github.com/Boavizta/BoAmps/tree/main/model"
_VERSION = "0.1"
_J_PER_KWH = 3.6e6
_BYTES_PER_GIGABYTE = 1e9
_QUALITIES = ((0.10, "high"), (0.25, "medium"), (0.50, "low"))
"""Largest error of the energy, and the word of BoAmps for it."""
_FRAMEWORKS = {"pytorch": "transformers", "vllm": "vllm", "tensorrt": "tensorrt_llm"}
"""Package of each backend whose version is the version of the framework."""


def report_name(entry: ManifestEntry) -> str:
    """Return the name of the report of a run."""
    return f"{entry.index:04d}_c{entry.cycle}_{entry.config_hash[:8]}.json"


def boamps_report(record: RunRecord, now: datetime) -> dict[str, Any] | str:
    """Return the report of a run, or a sentence why it has none.

    Args:
        record: the run.
        now: when the report is written.
    """
    entry, result = record.entry, record.result
    if entry is None or result is None:
        return "it has no result"
    if result.energy_total_j is None:
        return f"its energy is missing: {_reasons(result) or 'nothing was metered'}"
    versions = record.manifest.versions
    report: dict[str, Any] = _without_unknown(
        {
            "header": {
                "formatVersion": _VERSION,
                "formatVersionSpecificationUri": _MODEL,
                "reportId": str(_report_id(record, entry)),
                "reportDatetime": _moment(now),
                "reportStatus": "draft",
            },
            "task": _task(record, result),
            "measures": [_measure(result, versions.get("llem-energy"))],
            "system": {"os": result.environment_snapshot.platform.split("-")[0].lower()},
            "software": {"language": "python", "version": result.environment_snapshot.python},
            "infrastructure": {"infraType": "other", "components": [*_components(result)]},
            "quality": _quality(result),
        }
    )
    return report


def _report_id(record: RunRecord, entry: ManifestEntry) -> uuid.UUID:
    """Return an identifier that stays the same whenever the run is exported."""
    run = f"{record.manifest.study_design_hash}/{entry.index}/{entry.result_sha256}"
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{_MODEL}#{run}")


def _task(record: RunRecord, result: ExperimentResult) -> dict[str, Any]:
    config = result.config
    n_requests = result.n_prompts * result.n_repeats
    backend = str(config.get("backend"))
    package = _FRAMEWORKS.get(backend, backend)
    return {
        "taskStage": "inference",
        "taskFamily": "text generation",
        "nbRequest": n_requests,
        "algorithms": [
            {
                "algorithmType": "llm",
                "foundationModelName": config.get("model"),
                "framework": package,
                "frameworkVersion": result.environment_snapshot.packages.get(package),
                "quantization": config.get("precision"),
            }
        ],
        "dataset": [
            {"dataUsage": usage, "dataType": "token", "dataQuantity": tokens / n_requests}
            for usage, tokens in (("input", result.input_tokens), ("output", result.output_tokens))
        ],
        "taskDescription": " ".join(_description(record, result)),
    }


def _description(record: RunRecord, result: ExperimentResult) -> Iterator[str]:
    """Yield what no field of the format can say."""
    entry = record.entry
    assert entry is not None
    yield (
        f"Study {record.manifest.study_name}, run {entry.index} of cycle {entry.cycle}: {entry.label}."
    )
    devices = ", ".join(result.energy_per_device_j)
    yield f"The energy is that of the measured window, of {devices}."
    if result.energy_host_j is not None:
        host_kwh = result.energy_host_j / _J_PER_KWH
        yield f"The processor is not in it; it used {host_kwh:.6g} kWh by {result.energy_host_source}."
    if result.energy_bound_j is not None:
        yield f"Its largest error is {result.energy_bound_j / _J_PER_KWH:.3g} kWh, without the gain."
    if result.energy_status == "flagged":
        yield f"The energy is flagged: {_reasons(result)}."


def _measure(result: ExperimentResult, version: str | None) -> dict[str, Any]:
    assert result.energy_total_j is not None
    is_gpu = result.energy_source_kind == "gpu"
    return {
        "measurementMethod": "llem-energy",
        "version": version,
        "gpuTrackingMode": result.energy_source if is_gpu else None,
        "cpuTrackingMode": None if is_gpu else result.energy_source,
        "powerConsumption": result.energy_total_j / _J_PER_KWH,
        "measurementDuration": result.window_s,
        "measurementDateTime": _moment(datetime.fromisoformat(result.started_at)),
    }


def _components(result: ExperimentResult) -> Iterator[dict[str, Any]]:
    """Yield the processor, the memory, and the GPUs that were metered."""
    snapshot = result.environment_snapshot
    yield {"componentType": "cpu", "nbComponent": 1, "componentName": snapshot.cpu_model}
    if snapshot.memory_bytes is not None:
        yield {
            "componentType": "ram",
            "nbComponent": 1,
            "memorySize": round(snapshot.memory_bytes / _BYTES_PER_GIGABYTE),
        }
    used = [gpu for gpu in snapshot.gpus if gpu.uuid in result.energy_per_device_j]
    for (name, n_bytes), n in Counter((gpu.name, gpu.memory_bytes) for gpu in used).items():
        yield {
            "componentType": "gpu",
            "nbComponent": n,
            "componentName": name,
            "memorySize": None if n_bytes is None else round(n_bytes / _BYTES_PER_GIGABYTE),
        }


def _quality(result: ExperimentResult) -> str | None:
    """Return the word for the largest error, the gain of the sensor included; None if not known."""
    budget = result.error_budget
    if result.energy_status != "ok" or not result.energy_total_j or result.energy_bound_j is None:
        return None
    if budget is None or budget.gain_share is None:
        return None
    error = result.energy_bound_j / result.energy_total_j + budget.gain_share
    return next((word for limit, word in _QUALITIES if error <= limit), None)


def _reasons(result: ExperimentResult) -> str:
    quality = result.figures.get("energy_total_j")
    return "" if quality is None else "; ".join(quality.reasons)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _without_unknown(value: Any) -> Any:
    """Return a document without the fields whose value is not known."""
    if isinstance(value, Mapping):
        return {key: _without_unknown(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_unknown(each) for each in value]
    return value
