"""Disturbs studies on a real Slurm at random times until they are complete.

    uv run python benchmarks/slurm_faults.py [--seeds N] [--first-seed N] [--faults N]

Starts a Slurm with two nodes on this machine (as root; packages slurm-wlm and munge). For each seed it
submits a study of 200 runs and injects 20 faults: requeues, cancelled and preempted tasks, signals, killed
tasks, runs and daemons, nodes that are cut off while their processes live. What no requeue brings back is submitted again, as
`study resume --on slurm` does. At the end it counts the runs with a result, the results that were lost
or changed, the runs that were begun, and the processes and scratch files that are left. It also prints the spread
that is left between runs, although one node needs 6 % more energy than the other and runs differ by 0.5 %. The
measurement is a stand-in; Slurm, its processes and the files are real. A loss raises an error.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed
sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the Slurm and the stand-in

from slurm.daemons import missing
from slurm.loopback import Loopback
from slurm.studies import SlurmStudy

from benchmarks.disturbed_slurm.faults import FAULTS
from benchmarks.shared.loopback_slurm import loopback_slurm
from llem_config import LlemError
from llem_runner.records import Comparisons
from llem_runner.shards import merge_study

_LIMIT_S = 1200.0
_MAX_BEGUN = 1.15
"""Runs that may be begun for each that is planned."""


class Counts(NamedTuple):
    """What is left of some studies after their faults."""

    planned: int
    completed: int
    begun: int
    twice: int
    """Results of runs that had one already."""
    attempts: int
    processes: int
    """Those that still work on a shard 10 s after the end."""
    scratch_files: int

    def __str__(self) -> str:
        """Return them in words."""
        return (
            f"{self.completed} of {self.planned} runs complete, {self.begun} begun "
            f"({self.begun / self.planned:.3f} x planned), {self.twice} results made twice, "
            f"{self.attempts} attempts, {self.processes} processes and {self.scratch_files} scratch "
            "files left"
        )


def disturb(
    slurm: Loopback, work: Path, seed: int, options: argparse.Namespace
) -> tuple[Counts, Counter[str]]:
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
        seconds=options.seconds,
    )
    # Each fault waits for a number of results, one in each part of the study, so that all come
    # before the end at any speed.
    part = 0.8 * study.n_runs / options.faults
    due = [(number + chance.random()) * part for number in range(options.faults)]
    faults: Counter[str] = Counter()
    began_s = time.monotonic()
    while open_shards := study.open_shards():
        assert time.monotonic() - began_s < _LIMIT_S, study.describe()
        study.note_results()
        slurm.hurry()
        running = [number for number in open_shards if study.pids(number)]
        if not running:
            _continue(study)
        elif due and due[0] <= len(study.seen):
            del due[0]
            time.sleep(chance.uniform(0, 1))
            name = chance.choice(list(FAULTS))
            FAULTS[name](slurm, study, chance.choice(running), chance)
            faults[name] += 1
        time.sleep(0.3)
    slurm.empty(60)
    time.sleep(10)  # for what is being killed
    study.note_results()
    assert not due, f"the study was complete before {len(due)} faults"
    summary = merge_study(study.folder).summary
    completed = summary.completed
    counts = Counts(
        planned=study.n_runs,
        completed=completed,
        begun=len(list(study.folder.glob("shards/*/a*/[0-9]*_c*"))),
        twice=len(study.results()) - completed,
        attempts=len(list(study.folder.glob("shards/*/a*"))),
        processes=len(study.all_pids()),
        scratch_files=len(list(study.folder.rglob("*.tmp"))),
    )
    print(f"seed {seed}: {counts}, {time.monotonic() - began_s:.0f} s; {dict(faults)}", flush=True)
    print(f"seed {seed}: {_spread(summary.comparisons)}", flush=True)
    return counts, faults


def _spread(found: Comparisons | None) -> str:
    """Return in words what the comparison of the points can tell."""
    if found is None or found.residual_cv is None:
        return f"points are not compared: {None if found is None else found.reason}"
    n_apart = sum(point.distinguishable for point in found.points)
    return (
        f"{len(found.blocks)} blocks, spread that is left "
        f"{found.residual_cv:.2%}, {n_apart} of {len(found.points)} points told from the first"
    )


def _continue(study: SlurmStudy) -> None:
    """Submit what neither waits nor runs; Slurm may not answer now."""
    try:
        study.top_up()
    except LlemError:
        time.sleep(1)


def main() -> int:
    """Run the campaign and return the exit code: 1 if a figure is not reached."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--cycles", type=int, default=5)
    parser.add_argument("--shards", type=int, default=2, help="of each cycle")
    # Some faults take 12 s, in which too many shorter runs would end.
    parser.add_argument("--seconds", type=float, default=1.5, help="of a run")
    options = parser.parse_args()
    if reason := missing():
        print(reason)
        return 2
    all_counts: list[Counts] = []
    faults: Counter[str] = Counter()
    with loopback_slurm() as (slurm, work):
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            counts, done = disturb(slurm, work / str(seed), seed, options)
            all_counts.append(counts)
            faults += done
    total = Counts(*map(sum, zip(*all_counts, strict=True)))
    print(f"{total}; {sum(faults.values())} faults: {dict(sorted(faults.items()))}")
    is_whole = total.completed == total.planned and total.begun <= _MAX_BEGUN * total.planned
    return int(not is_whole or total.processes > 0 or total.scratch_files > 0)


if __name__ == "__main__":
    sys.exit(main())
