"""Runs divided studies on a scripted cluster that kills, doubles and forgets their processes.

    uv run python benchmarks/shard_faults.py [--seeds 5] [--faults 20] [--points 40] [--cycles 5]

For each seed, a study of 40 points x 5 cycles in 10 shards runs on two nodes of this machine with 20 faults
at random times: SIGKILL of a shard's process, of its run, or of both; SIGTERM and SIGUSR2; a second process
for the same shard; a process that is not started again. The measurement is a stand-in; processes, signals
and files are real. Exits with code 1 if a run is lost, a result is changed, a process or a temporary file is
left, or more than 1.15 times the planned runs were begun.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.shard_studies import divided

from benchmarks.runner.scripted_cluster import Report, ScriptedCluster

MAX_BEGUN = 1.15


def problems(report: Report) -> list[str]:
    """Return which goals a study has missed."""
    found = []
    if report.n_completed != report.n_planned:
        found.append(f"{report.n_planned - report.n_completed} runs lost")
    found += [f"changed: {name}" for name in report.overwritten]
    found += [f"process left: {pid}" for pid in report.orphans]
    found += [f"temporary file left: {name}" for name in report.scratch]
    if report.n_begun > MAX_BEGUN * report.n_planned:
        found.append(f"{report.n_begun} runs begun for {report.n_planned} planned")
    return found


def main() -> None:
    """Print one line per seed and the sums."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--cycles", type=int, default=5)
    options = parser.parse_args()
    missed: list[str] = []
    sums = [0, 0, 0, 0]
    for seed in range(1, options.seeds + 1):
        with tempfile.TemporaryDirectory() as work:
            plan = divided(Path(work) / "out", options.points, options.cycles, 2)
            report = ScriptedCluster(plan.folder, random.Random(seed)).run(options.faults)
        found = problems(report)
        missed += found
        counts = ", ".join(f"{fault} {n}" for fault, n in sorted(report.faults.items()))
        print(
            f"seed {seed}: {report.n_completed} of {report.n_planned} runs, {report.n_begun} begun, "
            f"{report.n_superseded} superseded, {report.n_attempts} attempts, {report.seconds:.0f} s; "
            f"{counts}; {'; '.join(found) or 'no problem'}",
            flush=True,
        )
        for place, number in enumerate(
            (report.n_planned, report.n_completed, report.n_begun, report.faults.total())
        ):
            sums[place] += number
    print(f"{sums[1]} of {sums[0]} runs complete, {sums[2]} begun, {sums[3]} faults")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
