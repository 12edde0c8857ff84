"""How long after a cancellation `study show` says so, on a real Slurm.

    uv run python benchmarks/slurm_cancellation.py [--rounds N]

Starts a Slurm with two nodes on this machine (as root; packages slurm-wlm and munge), and in each round a study
of which one shard runs and one waits. One of them is cancelled by `scancel`, or both by `study cancel`; then
`study show` is called again and again. Printed are the seconds from the cancellation to the end of the first
`study show` that says `ended: cancelled`, and how long one `study show` takes.

The exit code is 1 if a figure is above 5 s. The seconds need an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed
sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the Slurm and the stand-in

from slurm.daemons import missing
from slurm.loopback import Loopback
from slurm.studies import SlurmStudy

from benchmarks.shared.compiled_files import keep_compiled_files
from benchmarks.shared.loopback_slurm import loopback_slurm

_MAX_S = 5.0
_WAIT_S = 60.0
_RUN_S = 300.0
RUNNING, WAITING = 1, 2
WAYS: dict[str, tuple[int, ...]] = {
    "scancel of the shard that runs": (RUNNING,),
    "scancel of the shard that waits": (WAITING,),
    "study cancel, both shards": (RUNNING, WAITING),
}
"""The shards that are cancelled."""


def show(study: SlurmStudy) -> tuple[float, str]:
    """Return how long `study show` took, and what it printed."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "llem_cli", "study", "show", str(study.folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.monotonic() - began, done.stdout


def seconds_until_shown(slurm: Loopback, work: Path, way: str) -> tuple[float, list[float]]:
    """Return the seconds from a cancellation until it is shown, and those of each `study show`.

    Raises:
        RuntimeError: it is not shown within a minute.
    """
    study = SlurmStudy(slurm, work, n_cycles=2, seconds=_RUN_S, at_most=1)
    # A run is in progress, so that the task has something to end.
    study.wait_until(lambda: bool(list(study.folder.glob("shards/0001/a*/*/log.txt"))))
    _, before = show(study)
    if "ended: cancelled" in before or study.state(WAITING).phase != "waiting":
        raise RuntimeError(f"expected a shard that runs and one that waits, found\n{before}")
    numbers = WAYS[way]
    command: Sequence[str] = ["scancel", study.task(numbers[0])]
    if len(numbers) > 1:
        command = [sys.executable, "-m", "llem_cli", "study", "cancel", str(study.folder)]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    durations: list[float] = []
    while time.monotonic() < began + _WAIT_S:
        duration_s, said = show(study)
        durations.append(duration_s)
        if said.count("ended: cancelled") >= len(numbers):
            seconds = time.monotonic() - began
            slurm.empty()
            return seconds, durations
    raise RuntimeError(f"not shown within {_WAIT_S:.0f} s: {way}\n{said}")


def main() -> int:
    """Print a line for each way to cancel, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if reason := missing():
        print(reason)
        return 2
    keep_compiled_files()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print("seconds from a cancellation to the end of the first `study show` that says so:")
    longest, shows = 0.0, []
    with loopback_slurm() as (slurm, work):
        for number, way in enumerate(WAYS):
            values = []
            for turn in range(options.rounds):
                seconds, durations = seconds_until_shown(slurm, work / f"{number}-{turn}", way)
                values.append(seconds)
                shows += durations
            longest = max(longest, *values)
            print(
                f"  {way:31s} median {statistics.median(values):.1f}, longest {max(values):.1f}, "
                f"{len(values)} times"
            )
    print(f"one `study show` takes {statistics.median(shows):.1f} (median of {len(shows)})")
    return int(longest > _MAX_S)


if __name__ == "__main__":
    sys.exit(main())
