"""What a study on two unequal GPUs can tell, with shards as blocks and with cycles as blocks.

    uv run python benchmarks/gpu_blocks.py [--points 40] [--cycles 5]

Runs a real study on two GPUs of the scripted driver that are 6 % apart: a process for each shard and for
each run. Only the measurement is a stand-in. The spread of runs is 0.5 %, and each point needs 0.2 %
more than the one before. Exits with code 1 if the spread that is left is above 0.6 %.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu
from fakes.studies import study

from benchmarks.simulated.unequal_boards import BOARDS, measure_on_board
from llem_config import Settings
from llem_runner import read_manifest, read_run_result
from llem_runner._analysis.comparison import compare_points
from llem_runner.parallel import run_on_gpus, shards_per_cycle
from llem_runner.records import Comparisons

_MAX_RESIDUAL = 0.006


def main() -> None:
    """Start a process that sees the scripted driver, or be this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder is not None:
        sys.exit(compare(options.points, options.cycles, options.folder))
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "gpus.trace"
        fake_nvml.write_trace(trace, [FakeGpu(uuid=uuid) for uuid in BOARDS])
        driver = fake_nvml.environment(fake_nvml.build(Path(folder) / "library"), trace)
        env = os.environ | driver
        done = subprocess.run([sys.executable, *sys.argv, "--folder", folder], env=env, check=False)
    sys.exit(done.returncode)


def compare(n_points: int, n_cycles: int, folder: Path) -> int:
    """Run the study, print what it can tell, and return the exit code."""
    settings = Settings.model_validate(
        {"execution": {"config_gap_seconds": 0, "cycle_gap_seconds": 0}}
    )
    start_s = time.perf_counter()
    result = run_on_gpus(
        study(range(1, n_points + 1), n_cycles=n_cycles, cycle_order="shuffled"),
        output=folder / "results", measure=measure_on_board, settings=settings,
    )  # fmt: skip
    assert result.folder is not None and result.summary.comparisons is not None
    entries = read_manifest(result.folder).entries
    results = {e.index: read_run_result(result.folder, e) for e in entries if e.result_file}
    cycles = [msgspec.structs.replace(entry, shard=None, session=None) for entry in entries]
    by_cycle = compare_points(cycles, results, "shuffled")
    per_cycle = shards_per_cycle(n_points, n_cycles, len(BOARDS))
    print(
        f"{result.summary.completed} of {len(entries)} runs on {len(BOARDS)} GPUs, {per_cycle} shards a "
        f"cycle, {time.perf_counter() - start_s:.0f} s"
    )
    print(f"{'blocks':<10}{'number':>8}{'residual':>10}{'error':>8}{'told apart':>14}")
    for name, found in (("shards", result.summary.comparisons), ("cycles", by_cycle)):
        print(_row(name, found, n_points))
    residual = result.summary.comparisons.residual_cv
    return int(residual is None or residual > _MAX_RESIDUAL)


def _row(name: str, found: Comparisons, n_points: int) -> str:
    n_apart = sum(point.distinguishable for point in found.points)
    residual = found.residual_cv or float("nan")
    error = (found.detectable_ratio or float("nan")) - 1
    return (
        f"{name:<10}{found.n_blocks:>8}{residual:>10.2%}{error:>8.2%}{n_apart:>8} of {n_points - 1}"
    )


if __name__ == "__main__":
    main()
