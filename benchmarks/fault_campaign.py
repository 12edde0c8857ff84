"""Kills the processes of studies at random times and resumes the studies until they are complete.

    uv run python benchmarks/fault_campaign.py [N] [--seed SEED]

Sends SIGKILL N times (default 200) to the parent, to its child process or to both, at times drawn
from a seed. After each kill of a parent it checks that no process is left, that every file can be
read, and that no completed result has changed. At the end it checks that each run is completed
exactly once, and that the results equal those of an undisturbed study. The measurement is a
stand-in; the processes, pipes, locks and files are real. The first problem raises an error.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed

from benchmarks.runner.disturbed_study import (
    N_CYCLES,
    N_POINTS,
    DisturbedStudy,
    Figures,
    Victim,
    expect,
    figures_of,
)

VICTIMS: tuple[Victim, ...] = get_args(Victim)


def undisturbed(work: Path) -> Figures:
    """Return the results of a study without kills."""
    study = DisturbedStudy(work)
    study.start().wait()
    study.check()
    return study.figures()


def disturb(work: Path, chance: random.Random, n_kills: int, max_wait_s: float) -> Counter[Victim]:
    """Kill a study up to `n_kills` times, resume it to its end, and count the kills by victim.

    Args:
        work: new folder for the study.
        chance: source of the random times and victims.
        n_kills: max. number of kills.
        max_wait_s: max. time until the next kill.

    Raises:
        AssertionError: a process was left, a file broken, a result lost, a run not completed.
    """
    study, kills = DisturbedStudy(work), Counter[Victim]()
    while not study.is_complete:
        parent = study.start()
        while kills.total() < n_kills and parent.poll() is None:
            time.sleep(chance.uniform(0.05, max_wait_s))
            victim = chance.choice(VICTIMS)
            kills[victim] += study.kill(victim)
            if victim != "child":
                break
        parent.wait()
        study.check()
    study.figures()
    return kills


def campaign(work: Path, n_kills: int, seed: int, *, max_wait_s: float = 4.0) -> Counter[Victim]:
    """Disturb one study after the other until there were `n_kills` kills; see `disturb`."""
    chance, kills, number = random.Random(seed), Counter[Victim](), 0
    expected = undisturbed(work / "undisturbed")
    while kills.total() < n_kills:
        number += 1
        folder = work / str(number)
        kills += disturb(folder, chance, n_kills - kills.total(), max_wait_s)
        study = next((folder / "results").glob("*/study_resolved.json")).parent
        expect(figures_of(study) == expected, f"expected the undisturbed results in {study}")
    return kills


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a campaign and print a summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("n_kills", type=int, nargs="?", default=200, help="default: 200")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        kills = campaign(Path(work), options.n_kills, options.seed)
        n_studies = len(list(Path(work).iterdir())) - 1
    by_victim = ", ".join(f"{victim}: {kills[victim]}" for victim in VICTIMS)
    print(f"{kills.total()} kills ({by_victim}; seed {options.seed}) in {n_studies} studies of")
    print(
        f"{N_POINTS * N_CYCLES} runs: every run completed exactly once, no result lost or changed,"
    )
    print(f"no half-written file, no process left; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
