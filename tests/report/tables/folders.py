"""Study folders with runs in every state, written from the structs of the product."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fakes.results import make_result
from fakes.studies import TINY

from llem_config import StudyConfig
from llem_energy import ExperimentResult
from llem_energy.records import (
    DeviceWindow,
    EnvironmentSnapshot,
    GpuSnapshot,
    PhaseResult,
    Quality,
    encode_result,
)
from llem_runner.records import ManifestEntry, StudyManifest, encode_json

GPU = GpuSnapshot(
    index=0, uuid="GPU-1", name="Test GPU", power_limit_w=300.0, power_limit_default_w=350.0, vbios=None,
    memory_bytes=80_000_000_000, sm_clock_max_mhz=1980.0, application_sm_clock_mhz=None,
    persistence_mode=True, ecc=True, mig=False, compute_mode=0, n_other_processes=0, temperature_c=31.5,
)  # fmt: skip
STATES = ("completed", "completed", "failed", "pending", "completed", "interrupted")
SAMPLES = pa.schema(
    [(name, pa.float64()) for name in ("t_s", "bracket_s", "driver_time_s", "energy_j", "power_w")]
    + [("device", pa.string()), ("phase", pa.string()), ("throttle_reasons", pa.int64())],
    metadata={"schema_version": "2", "wall_offset_s": "1750000000.25"},
)
REQUESTS = pa.schema(
    [
        *((name, pa.int64()) for name in ("repeat", "batch", "prompt")),
        *((name, pa.int64()) for name in ("input_tokens", "output_tokens")),
        *((name, pa.float64()) for name in ("time_to_first_token_s", "latency_s")),
        ("inter_token_mean_s", pa.float64()),
        ("cached_input_tokens", pa.int64()),
    ]
)


def study_of(ns: Sequence[int] = (1, 2, 3), **fields: Any) -> StudyConfig:
    """Return a study of one point per `n`, and one point that its backend cannot run."""
    return StudyConfig.model_validate(
        {
            "name": "grid",
            "experiments": [{**TINY, "n": n} for n in ns],
            # As a sweep of `n` records it, with a factor that exists at the last point only.
            "factors": [
                {"key": "n", "levels": [str(n) for n in ns], "numeric": True},
                {"key": "decoder.top_k", "levels": ["=5"], "numeric": False},
            ],
            "levels": [[level, 0 if level == len(ns) - 1 else None] for level in range(len(ns))],
            "skipped": [{"config": {**TINY, "n": 9}, "reason": "=cmd|not supported"}],
            **fields,
        }
    )


def write_folder(
    folder: Path,
    study: StudyConfig,
    states: Sequence[str] = STATES,
    changed: Mapping[str, Any] | None = None,
    *,
    n_requests: int = 3,
) -> Path:
    """Write a study folder.

    Args:
        folder: to create.
        study: its points, which run in their order, cycle after cycle.
        states: of the runs.
        changed: fields of the results of completed runs that differ from the usual ones.
        n_requests: rows of `requests.parquet`, and of `timeseries.parquet`.
    """
    folder.mkdir(parents=True)
    (folder / "study_resolved.json").write_text(study.model_dump_json(), "utf-8")
    points = list(zip(study.config_hashes, study.experiments, strict=True))
    entries = []
    for index, state in enumerate(states, 1):
        key, config = points[(index - 1) % len(points)]
        entry = ManifestEntry(
            index=index,
            cycle=(index - 1) // len(points) + 1,
            config_hash=key,
            label=f"n={config.n}",
            started_at=None if state == "pending" else f"2026-01-01T0{index % 10}:00:00.125+02:00",
            attempts=int(state != "pending"),
            status=state,  # type: ignore[arg-type]
            **_failure(state),
        )
        if state == "completed":
            result = make_result(config, **{**_usual(index), **(changed or {})})
            entry = _write_run(folder, entry, result, n_requests)
        entries.append(entry)
    write_manifest(folder, study, entries)
    return folder


def write_manifest(folder: Path, study: StudyConfig, entries: Sequence[ManifestEntry]) -> None:
    counts = {name: 0 for name in ("pending", "running", "completed", "failed", "interrupted")}
    manifest = StudyManifest(
        study_name=study.name,
        study_design_hash=study.study_design_hash,
        versions={},
        host="here",
        pid=1,
        status="failed",
        started_at="2026-01-01T00:00:00+00:00",
        ended_at="2026-01-01T12:00:00+00:00",
        totals=counts,  # type: ignore[arg-type]
        entries=tuple(entries),
    )
    (folder / "manifest.json").write_bytes(encode_json(manifest))


def request_rows(n_rows: int) -> pa.Table:
    """Return rows of `requests.parquet`; the last one has no times."""
    times = [*(0.5 + row for row in range(n_rows - 1)), None]
    counts = list(range(1, n_rows + 1))
    return pa.table(
        [*([counts] * 5), times, times, [None] * n_rows, counts],
        schema=REQUESTS,
    )


def sample_rows(n_rows: int) -> pa.Table:
    """Return rows of `timeseries.parquet`."""
    times = [row / 20 for row in range(n_rows)]
    return pa.table(
        [
            *(times, [1e-4] * n_rows, [None] * n_rows, times, [200.0] * n_rows),
            *(["GPU-1"] * n_rows, ["window"] * n_rows, [4] * n_rows),
        ],
        schema=SAMPLES,
    )


def _failure(state: str) -> dict[str, Any]:
    if state != "failed":
        return {}
    return {
        "error_type": "OutOfMemory",
        "error_message": "-1 of 2 GB;\n\"quoted\", 'also'",
        "error_reason": "gpu_memory",
    }


def _usual(index: int) -> dict[str, Any]:
    machine = EnvironmentSnapshot(
        python="3.11", platform="Linux", cpu_model="CPU", n_cpus=2, memory_bytes=2**40, cpu_governor=None,
        load_average_1min=0.5, driver="580", nvml="13", gpus=(GPU,), packages={"torch": "2.9"},
        environment={},
    )  # fmt: skip
    phase = PhaseResult(
        phase="prefill", n_prompts=1, n_repeats=2, n_tokens=3, window_s=0.5, tokens_per_second=6.0,
        energy_j=4.0, energy_bound_j=0.5, energy_uncertainty_j=None, energy_method="counter",
        energy_per_token_j=0.75, energy_adjusted_j=None, quality=Quality("ok"),
    )  # fmt: skip
    return {
        "energy_per_output_token_j": 2.0 + index / 3,
        "devices": (
            DeviceWindow(
                device="GPU-1", energy_j=100.0, energy_bound_j=1.0, temperature_start_c=40.0,
                throttle_reasons=("software power cap", "hardware thermal"),
            ),
        ),
        "environment_snapshot": machine,
        "phases": (phase,),
        "figures": {"energy_total_j": Quality("flagged", ("other load", "throttled"))},
        "measurement_warnings": ("first warning", "@second"),
        "effective_config": {
            "batch_size": 8, "compiled": False, "generation": {"top_p": 0.5, "seed": -1},
            "attention": ["sdpa"], "revision": None,
        },
    }  # fmt: skip


def _write_run(
    folder: Path, entry: ManifestEntry, result: ExperimentResult, n_rows: int
) -> ManifestEntry:
    run = folder / f"{entry.index:04d}_c{entry.cycle}_tiny_{entry.config_hash[:8]}"
    run.mkdir()
    content = encode_result(result)
    (run / "result.json").write_bytes(content)
    pq.write_table(request_rows(n_rows), run / "requests.parquet")
    pq.write_table(sample_rows(n_rows), run / "timeseries.parquet")
    return ManifestEntry(
        **{
            name: getattr(entry, name)
            for name in entry.__struct_fields__
            if name not in ("result_file", "result_sha256", "ended_at")
        },
        result_file=f"{run.name}/result.json",
        result_sha256=hashlib.sha256(content).hexdigest(),
        ended_at=f"2026-01-01T0{entry.index % 10}:30:00+00:00",
    )
