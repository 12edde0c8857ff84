"""Disturbs studies on a real Slurm at random times until they are complete.

    uv run python benchmarks/slurm_faults.py [--seeds N] [--faults N] [--points N] [--cycles N]

Starts a Slurm with two nodes on this machine (as root; packages slurm-wlm and munge). For each seed it
submits a study and injects faults: requeues, cancelled tasks, signals, killed tasks, runs and daemons,
nodes that are cut off while their processes live. What no requeue brings back is submitted again, as
`study resume --on slurm` does. At the end it counts the runs with a result, the results that were lost
or changed, the runs that were begun, and the processes and scratch files that are left. The measurement
is a stand-in; Slurm, its processes and the files are real. A loss raises an error.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed
sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the Slurm and the stand-in

from slurm.loopback import Loopback, missing, started
from slurm.studies import SlurmStudy

from benchmarks.disturbed_slurm.faults import FAULTS
from llem_config import LlemError
from llem_runner.shards import merge_study, reopen_shards

_LIMIT_S = 900.0


def disturb(slurm: Loopback, work: Path, seed: int, options: argparse.Namespace) -> Counter[str]:
    """Disturb one study until it is complete; return the counts of its runs and faults.

    Raises:
        AssertionError: a result was lost or changed, or the study does not complete.
    """
    chance = random.Random(seed)
    study = SlurmStudy(
        slurm,
        work,
        n_points=options.points,
        n_cycles=options.cycles,
        shards=options.shards,
        seconds=0.3,
    )
    counts: Counter[str] = Counter()
    began_s = time.monotonic()
    while open_shards := study.open_shards():
        assert time.monotonic() - began_s < _LIMIT_S, study.describe()
        study.note_results()
        slurm.hurry()
        running = [number for number in open_shards if study.pids(number)]
        if running and sum(counts.values()) < options.faults:
            time.sleep(chance.uniform(0, options.pause))
            name = chance.choice(list(FAULTS))
            FAULTS[name](slurm, study, chance.choice(running), chance)
            counts[name] += 1
        elif not running:
            _continue(study)
        time.sleep(0.3)
    slurm.empty(60)
    time.sleep(10)  # for what is being killed
    study.note_results()
    left = len(study.all_pids())
    scratch = len(list(study.folder.rglob("*.tmp")))
    begun = len(list(study.folder.glob("shards/*/a*/[0-9]*_c*")))
    attempts = len(list(study.folder.glob("shards/*/a*")))
    result = merge_study(study.folder)
    assert left == 0, f"{left} processes are left"
    summary = result.summary
    assert summary.completed == study.n_runs, summary
    print(
        f"seed {seed}: {summary.completed} of {study.n_runs} runs, {begun} begun, "
        f"{len(study.results()) - summary.completed} twice, {attempts} attempts, {left} processes and "
        f"{scratch} scratch files left, {time.monotonic() - began_s:.0f} s; {dict(counts)}"
    )
    return counts


def _continue(study: SlurmStudy) -> None:
    """Submit what neither waits nor runs; Slurm may not answer now."""
    try:
        study.top_up()
    except LlemError:
        time.sleep(1)
    reopen_shards(study.folder, study.open_shards())


def main() -> int:
    """Run the campaign and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--pause", type=float, default=4.0, help="longest time between faults")
    options = parser.parse_args()
    if reason := missing():
        print(reason)
        return 2
    work = Path(tempfile.mkdtemp(prefix="llem-faults-"))
    counts: Counter[str] = Counter()
    try:
        with started() as slurm:
            os.environ |= {name: slurm.environment[name] for name in ("PATH", "SLURM_CONF")}
            for seed in range(options.seeds):
                counts += disturb(slurm, work / str(seed), seed, options)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{sum(counts.values())} faults: {dict(sorted(counts.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
