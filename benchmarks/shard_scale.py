"""Measures how long it takes to divide, merge and show studies of many shards.

    uv run python benchmarks/shard_scale.py [--points 10000] [--cycles 5] [--shards 157]

Writes the files that the attempts at all shards would leave: by default 10,000 points x 5 cycles in 785 shards
of about 64 runs on 100 nodes. 5 % of the first attempts were killed at a random run, and 1 % of the shards ran
twice. Then it merges the study in a new process and prints time, peak memory, and the bytes that the manifests
of all attempts write on one node. Exits with code 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.shard_studies import shuffled

from benchmarks.runner.simulated_attempts import Simulation
from llem_runner.shards import divide_study, shard_progress

N_NODES = 100
GOALS = {10_000: 5.0, 50_000: 20.0}
"""Longest time in seconds of a merge, by its number of runs."""
MAX_MEMORY_BYTES, MAX_MANIFEST_BYTES = 500e6, 50e6
_MERGE = """
import json, resource, sys, time
from llem_runner.shards import merge_study
start_s, cpu_s = time.perf_counter(), time.process_time()
result = merge_study(sys.argv[1])
print(json.dumps({
    "seconds": time.perf_counter() - start_s,
    "cpu_s": time.process_time() - cpu_s,
    "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    "completed": result.summary.completed,
    "blocks": result.summary.comparisons.n_blocks,
}))
"""


def main() -> None:
    """Print what was measured; exit with 1 if a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--shards", type=int, default=157)
    options = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory() as work:
        start_s = time.perf_counter()
        config = shuffled(options.points, options.cycles)
        plan = divide_study(config, output=work, shards=options.shards)
        print(
            f"divide: {len(plan.shards)} shards, {time.perf_counter() - start_s:.1f} s", flush=True
        )
        start_s = time.perf_counter()
        simulation = Simulation(plan.folder, seed=1)
        simulation.write()
        print(
            f"write: {simulation.n_attempts} attempts, {time.perf_counter() - start_s:.1f} s",
            flush=True,
        )
        start_s = time.perf_counter()
        shards = shard_progress(plan.folder)
        print(
            f"progress of {len(shards)} shards: {time.perf_counter() - start_s:.1f} s", flush=True
        )
        done = subprocess.run(
            [sys.executable, "-c", _MERGE, plan.folder], capture_output=True, text=True, check=True
        )
        merged = json.loads(done.stdout)
        n_runs = options.points * options.cycles
        print(
            f"merge: {merged['completed']} of {n_runs} runs, {merged['blocks']} blocks, "
            f"{merged['seconds']:.1f} s ({merged['cpu_s']:.1f} s of processor time), "
            f"{merged['peak_bytes'] / 1e6:.0f} MB"
        )
        per_node = sum(simulation.manifest_bytes) / N_NODES
        print(f"manifests: {per_node / 1e6:.1f} MB written per node")
        missed += ["runs lost"] * (merged["completed"] != n_runs)
        missed += ["merge too slow"] * (merged["seconds"] > GOALS.get(n_runs, 60.0))
        missed += ["too much memory"] * (merged["peak_bytes"] > MAX_MEMORY_BYTES)
        missed += ["too many bytes of manifests"] * (per_node > MAX_MANIFEST_BYTES)
    for line in missed:
        print(f"missed: {line}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
