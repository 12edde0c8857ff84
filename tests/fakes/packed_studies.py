"""A divided study whose runs leave every file that a run can have, without a model and without a meter."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fakes.results import make_result
from fakes.shard_studies import divided
from report.tables.folders import SAMPLES

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_energy._measurement.requests import write_requests
from llem_energy.records import Request
from llem_runner._executors.inline import InlineExecutor
from llem_runner.shards import resume_shards, run_shard

FAILING = 7
"""The point, by its number of prompts, whose runs fail."""


def with_files(config: ExperimentConfig, **rest: Any) -> ExperimentResult:
    """Write time series and requests, print something, and return a result; point 7 fails."""
    path: Path = rest["timeseries"]
    with path.with_name("log.txt").open("a") as log:
        log.write(f"measuring {config.n} prompts\n")
    if config.n == FAILING:
        raise ValueError("this point fails")
    times_s = [i / 20 for i in range(200)]
    columns = {
        "t_s": times_s,
        "device": ["GPU-1"] * 200,
        "phase": ["loaded idle"] * 50 + ["window"] * 100 + ["idle after"] * 50,
        "power_w": [100.0 + config.n + i % 7 for i in range(200)],
        "energy_j": [float(5 * i) for i in range(200)],
    }
    rows = [columns.get(name, [None] * 200) for name in SAMPLES.names]
    pq.write_table(pa.table(rows, schema=SAMPLES), path)
    request = {name: 1 for name in Request.__struct_fields__}
    write_requests(path.with_name("requests.parquet"), [Request(**request)] * config.n)
    energy_j = 1 + config.n / 100
    return make_result(
        config,
        timeseries_file=path.name,
        requests_file="requests.parquet",
        energy_source_kind="gpu",
        energy_per_output_token_j=energy_j,
        energy_total_j=50 * energy_j,
        energy_per_device_j={"GPU-1": 50 * energy_j},
    )


def complete_study(results: Path) -> Path:
    """Return a complete study of 2 x 2 shards: one with a superseded attempt, one with one cut off.

    Of the one that was cut off, the last run had a result that its manifest does not know.
    """
    folder = divided(results, 10, 2, 2).folder
    options: dict[str, Any] = {"executor": InlineExecutor(), "measure": with_files}
    run_shard(folder, 1, **options)
    first = folder / "shards/0001/a01"
    shutil.copytree(first, folder / "shards/0001/a02")
    run_shard(folder, 2, **options)
    cut_off(folder / "shards/0002/a01")
    resume_shards(folder, **options)
    return folder


def cut_off(attempt: Path) -> None:
    """Change the files of an attempt to what a lost machine leaves: two runs have not ended."""
    record = json.loads((attempt / "attempt.json").read_text())
    record |= {"state": "running", "ended_at": None}
    record["process"] |= {"started_ticks": 1}
    (attempt / "attempt.json").write_text(json.dumps(record))
    manifest = json.loads((attempt / "manifest.json").read_text())
    done = [entry for entry in manifest["entries"] if entry["status"] == "completed"]
    for entry in done[-2:]:
        entry |= {"status": "running", "result_file": None, "result_sha256": None}
    (attempt / "manifest.json").write_text(json.dumps(manifest))
    index = done[-1]["index"]
    next(attempt.glob(f"{index:04d}_*/result.json")).unlink()


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the content of every file, by its path relative to the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def n_names_below(folder: Path) -> int:
    """Return the number of files and folders below a folder, as a quota counts them."""
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))
