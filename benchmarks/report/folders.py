"""Folders of simulated studies, as large as real ones, written file by file."""

from __future__ import annotations

import hashlib
import math
import os
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from llem_config import ExperimentConfig, StudyConfig, load_study
from llem_energy import ExperimentResult
from llem_energy.records import Latency, decode_result, encode_result
from llem_runner.records import ManifestEntry, StudyManifest, Totals, encode_json

STORED = Path(__file__).parents[2] / "tests" / "energy" / "result" / "data" / "result_v3.json"
"""A stored result with every section."""
N_CYCLES = 5
_NOISE, _CYCLE = 0.02, 0.01
_SWEEP = """\
model: builtin:tiny-llama
execution: {{n_cycles: {n_cycles}, config_gap_seconds: 0, cycle_gap_seconds: 0}}
sweep:
  precision: [fp32, bf16]
  pytorch.batch_size: [1, 4, 16, 64, 256]
  attention:
    - {{pytorch.attn_implementation: eager}}
    - {{pytorch.attn_implementation: sdpa}}
    - {{pytorch.attn_implementation: sdpa, pytorch.torch_compile: true}}
    - {{pytorch.attn_implementation: eager, pytorch.torch_compile: true}}
  max_output_tokens: [16, 32, 64, 128, 256]
"""
_LARGE = "  max_input_tokens: [16, 32, 64, 128, 256]\n"
_RATIOS = {"precision": 0.3, "pytorch.batch_size": 0.2, "attention": 0.05}
"""Change of the logarithm from level to level; the other factors have no effect."""


def write_study(parent: Path, n_points: int) -> Path:
    """Write the folder of a study of 5 cycles whose runs are all completed, and return it.

    The same number of points gives the same files.

    Args:
        parent: an existing folder.
        n_points: 200 or 1,000.
    """
    file = parent / f"study{n_points}.yaml"
    file.write_text(_SWEEP.format(n_cycles=N_CYCLES) + (_LARGE if n_points == 1000 else ""))
    study = load_study(file)
    if len(study.experiments) != n_points:
        raise ValueError(f"expected {n_points} points, found {len(study.experiments)}")
    folder = parent / f"study{n_points}"
    folder.mkdir()
    (folder / "study_resolved.json").write_text(study.model_dump_json(), "utf-8")
    samples = parent / "samples.parquet"
    if not samples.exists():
        pq.write_table(_samples(), samples)
    entries = [_write_run(folder, samples, *run) for run in _runs(study)]
    (folder / "manifest.json").write_bytes(encode_json(_manifest(study, entries)))
    return folder


def _runs(study: StudyConfig) -> Iterator[tuple[ManifestEntry, ExperimentConfig, float]]:
    """Yield each run with its experiment and its energy per token relative to the first point."""
    rng = random.Random(20)
    points = list(range(len(study.experiments)))
    effects = [_RATIOS.get(factor.key, 0.0) for factor in study.factors]
    for cycle in range(1, N_CYCLES + 1):
        rng.shuffle(points)
        shift = rng.gauss(0, _CYCLE)
        for place, point in enumerate(points):
            index = (cycle - 1) * len(points) + place + 1
            levels = zip(effects, study.levels[point], strict=True)
            log = sum(effect * (level or 0) for effect, level in levels)
            minutes = 2 * index
            entry = ManifestEntry(
                index=index,
                cycle=cycle,
                config_hash=study.config_hashes[point],
                label=f"point {point + 1}",
                status="completed",
                started_at=f"2026-01-{1 + minutes // 1440:02}T{minutes // 60 % 24:02}:"
                f"{minutes % 60:02}:00+00:00",
                attempts=1,
            )
            yield entry, study.experiments[point], math.exp(log + shift + rng.gauss(0, _NOISE))


def _write_run(
    folder: Path, samples: Path, entry: ManifestEntry, config: ExperimentConfig, ratio: float
) -> ManifestEntry:
    run = folder / f"{entry.index:04}_c{entry.cycle}_tiny-llama_{entry.config_hash[:8]}"
    run.mkdir()
    content = encode_result(_result(entry, config, ratio))
    (run / "result.json").write_bytes(content)
    os.link(samples, run / "timeseries.parquet")
    return msgspec.structs.replace(
        entry,
        result_file=f"{run.name}/result.json",
        result_sha256=hashlib.sha256(content).hexdigest(),
    )


_STORED: list[ExperimentResult] = []


def _result(entry: ManifestEntry, config: ExperimentConfig, ratio: float) -> ExperimentResult:
    if not _STORED:
        _STORED.append(decode_result(STORED.read_bytes(), STORED))
    time_s = 0.1 * ratio
    latency = Latency(n=64, mean_s=time_s, p50_s=time_s, p90_s=1.2 * time_s, p99_s=2 * time_s)
    return msgspec.structs.replace(
        _STORED[0],
        measurement_config_hash=entry.config_hash,
        config=config.model_dump(mode="json", exclude_none=True),
        effective_config={"torch": {f"option_{i}": i for i in range(30)}},
        started_at=str(entry.started_at),
        ended_at=str(entry.started_at),
        energy_per_output_token_j=2.0 * ratio,
        energy_per_prompt_j=20.0 * ratio,
        energy_total_j=100.0 * ratio,
        tokens_per_second=50.0 / ratio,
        time_to_first_token=latency,
        inter_token_latency=latency,
    )


def _samples() -> pa.Table:
    """Return one minute of samples of one device at 20 Hz."""
    n_rows = 1200
    schema = pa.schema(
        [
            *(
                (name, pa.float64())
                for name in ("t_s", "bracket_s", "driver_time_s", "energy_j", "power_w")
            ),
            *(("device", pa.string()), ("phase", pa.string()), ("throttle_reasons", pa.int64())),
        ],
        metadata={"schema_version": "2", "wall_offset_s": "1750000000.25"},
    )
    times = [row / 20 for row in range(n_rows)]
    return pa.table(
        [
            *(times, [1e-4] * n_rows, [None] * n_rows, [200 * t for t in times]),
            *([200.0] * n_rows, ["GPU-1"] * n_rows, ["window"] * n_rows, [0] * n_rows),
        ],
        schema=schema,
    )


def _manifest(study: StudyConfig, entries: list[ManifestEntry]) -> StudyManifest:
    return StudyManifest(
        study_name=study.name,
        study_design_hash=study.study_design_hash,
        versions={},
        host="here",
        pid=1,
        status="completed",
        started_at=str(entries[0].started_at),
        ended_at=str(entries[-1].started_at),
        totals=Totals(pending=0, running=0, completed=len(entries), failed=0, interrupted=0),
        entries=tuple(entries),
    )
