"""Counts the files of a study of many shards before and after it is packed, and what a merge costs then.

    uv run python benchmarks/shard_pack.py [--points 1000] [--cycles 5] [--shards 16] [--repeats 3]

Writes the files that the attempts at all shards would leave, as `shard_scale.py`; each run has also samples of 3
minutes of one GPU at 20 Hz, 64 requests, and a log. Packs the study in a new process, and merges it before and after in new
processes, which must give the same bytes. Processor time is that of the process that merges, and the least of some
repeats. Exits with code 1 if a merge of the packed study differs or takes more than twice the processor time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pyarrow as pa
import pyarrow.parquet as pq
from fakes.shard_studies import shuffled

from benchmarks.runner.simulated_attempts import Simulation
from llem_energy.records import Request
from llem_runner.shards import divide_study

MAX_RATIO = 2.0
_SECONDS, _HZ, _REQUESTS = 180, 20, 64
_MERGE = """
import json, sys, time
from llem_runner.shards import merge_study
start_s = time.process_time()
result = merge_study(sys.argv[1])
print(json.dumps({"cpu_s": time.process_time() - start_s, "completed": result.summary.completed}))
"""
_PACK = """
import json, sys, time
from llem_runner.shards import pack_study
start_s = time.process_time()
packed = pack_study(sys.argv[1])
print(json.dumps({"cpu_s": time.process_time() - start_s, "left": packed.left}))
"""


class Size(NamedTuple):
    """What a folder holds."""

    n_names: int
    """Files and folders, as a quota counts them."""
    n_bytes: int
    """Of the files."""
    n_disk_bytes: int
    """That the file system has given to files and folders."""


def size_of(folder: Path) -> Size:
    """Return what is below a folder."""
    n_names = n_bytes = n_blocks = 0
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = os.lstat(f"{path}/{name}")
            n_names += 1
            n_blocks += status.st_blocks
            n_bytes += status.st_size if name in files else 0
    return Size(n_names, n_bytes, 512 * n_blocks)


def files_of_a_run(work: Path) -> dict[str, bytes]:
    """Return the files of a run beside its result, with readings that spread as those of a GPU."""
    chance = random.Random(1)
    n = _SECONDS * _HZ
    samples: dict[str, list[Any]] = {
        "t_s": [i / _HZ + chance.random() / 1000 for i in range(n)],
        "bracket_s": [chance.random() / 1e4 for _ in range(n)],
        "energy_j": [15.0 * i + chance.random() for i in range(n)],
        "power_w": [300 + chance.gauss(0, 10) for _ in range(n)],
        "device": ["GPU-1"] * n,
        "phase": ["window"] * n,
        "throttle_reasons": [0] * n,
    }
    requests = {
        name: [chance.random() if name.endswith("_s") else i for i in range(_REQUESTS)]
        for name in Request.__struct_fields__
    }
    tables = {"timeseries.parquet": samples, "requests.parquet": requests}
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), work / name, compression="zstd")
    log = "".join(f"batch {i}: {chance.random():.3f} s\n" for i in range(64))
    return {**{name: (work / name).read_bytes() for name in tables}, "log.txt": log.encode()}


def call(program: str, folder: Path) -> dict[str, Any]:
    """Return what a program prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, folder], capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def merged(folder: Path, repeats: int) -> tuple[float, str, int]:
    """Return the least processor time of some merges, the digest of their files, and the runs with a result."""
    answers = []
    for _ in range(repeats):
        for name in ("manifest.json", "study_result.json"):
            (folder / name).unlink(missing_ok=True)
        answers.append(call(_MERGE, folder))
    names = ("manifest.json", "study_result.json")
    content = b"".join((folder / name).read_bytes() for name in names)
    least_s = min(answer["cpu_s"] for answer in answers)
    return least_s, hashlib.sha256(content).hexdigest(), answers[0]["completed"]


def main() -> None:
    """Print what was measured; exit with 1 if a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        config = shuffled(options.points, options.cycles)
        plan = divide_study(config, output=work, shards=options.shards)
        files = files_of_a_run(Path(work))
        simulation = Simulation(plan.folder, seed=1, files=files)
        simulation.write()
        before_s, before, n_runs = merged(plan.folder, options.repeats)
        loose = size_of(plan.folder)
        packing = call(_PACK, plan.folder)
        packed = size_of(plan.folder)
        after_s, after, _ = merged(plan.folder, options.repeats)
    print(
        f"{n_runs} runs in {len(plan.shards)} shards, {simulation.n_attempts} attempts; of a run: "
        + ", ".join(f"{name} {len(body):,} bytes" for name, body in files.items())
    )
    for name, size in (("before", loose), ("packed", packed)):
        print(
            f"{name}: {size.n_names:,} files and folders, {size.n_bytes / 1e6:,.1f} MB, "
            f"{size.n_disk_bytes / 1e6:,.1f} MB on the disk"
        )
    ratio = after_s / before_s
    print(f"packing: {packing['cpu_s']:.1f} s of processor time; {len(packing['left'])} left")
    print(
        f"merge: {before_s:.2f} s of processor time before, {after_s:.2f} s packed ({ratio:.2f} x)"
    )
    missed = ["the merge of the packed study differs"] * (before != after)
    missed += ["merge too slow"] * (ratio > MAX_RATIO)
    for line in missed:
        print(f"missed: {line}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
