"""What Slurm adds to a study: the time until its first run begins, and the time of each run.

    uv run python benchmarks/slurm_overhead.py [--rounds N] [--runs N] [--prompts N]

Starts a Slurm with two nodes on this machine (as root; packages slurm-wlm and munge).

- From `study submit` of a tiny model to the begin of its first run, which then imports torch. Beside it,
  in the same minute: the time of `study run` of the same file to its first run, and that import alone.
- From the begin of a run to that of the next one, with a stand-in for the measurement: studies of one
  shard and studies of `study run` alternate. Wrappers count the commands of Slurm that the tasks call.

The exit code is 1 if the first run begins later than 5 s, if Slurm adds more than 50 ms to a run (median),
or if a run calls Slurm. The seconds need an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed
sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the Slurm and the stand-in

from fakes.shard_studies import SECONDS, on_a_node, shuffled
from slurm.daemons import missing
from slurm.loopback import Loopback
from slurm.plans import counting_programs
from slurm.studies import SlurmStudy

from benchmarks.shared.compiled_files import keep_compiled_files
from benchmarks.shared.loopback_slurm import loopback_slurm
from llem_runner import run_study

ROOT = Path(__file__).parents[1]
_RUN_S = 0.1
_MAX_START_S, _MAX_OVERHEAD_S = 5.0, 0.05
_WAIT_S = 300.0


def begins(folder: Path) -> list[float]:
    """Return when the runs below a folder began, in seconds since 1970, in their order."""
    entries = [
        entry
        for file in sorted(folder.rglob("manifest.json"))
        for entry in json.loads(file.read_text())["entries"]
    ]
    instants = {entry["started_at"] for entry in entries if entry.get("started_at")}
    return sorted(datetime.fromisoformat(instant).timestamp() for instant in instants)


def time_to_first_run(slurm: Loopback, work: Path, prompts: int) -> float:
    """Print how long it takes until the first run begins; return the seconds on Slurm."""
    (work / "config.yaml").write_text("clusters: {slurm: {gpus: 0, time: 10m}}\n")
    (work / "study.yaml").write_text(
        f"model: builtin:tiny-llama\nn: {prompts}\nmax_output_tokens: 4\npytorch: {{device: cpu}}\n"
        "sweep: {precision: [fp32, bf16]}\nexecution: {n_cycles: 2, cycle_order: shuffled}\n"
    )
    seconds: dict[str, float] = {}
    commands = {
        "study submit --on slurm": ("submit", "--on", "slurm"),
        "study run": ("run",),
    }
    for turn in range(2):  # the first one compiles Python files
        for name, command in commands.items():
            folder = work / f"{command[0]}-{turn}"
            began = time.time()
            process = subprocess.Popen(
                [sys.executable, "-m", "llem_cli", "study", command[0], "study.yaml", *command[1:],
                 "--output", folder.name],
                cwd=work,
                env={**os.environ, "LLEM_CONFIG": str(work / "config.yaml")},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            while not (found := begins(folder)) and time.time() < began + _WAIT_S:
                time.sleep(0.05)
            seconds[name] = found[0] - began
            process.terminate()
            process.wait()
            slurm.empty()
    began = time.time()
    subprocess.run([sys.executable, "-c", "import torch, transformers"], check=True)
    seconds["(its process then imports torch and transformers)"] = time.time() - began
    print("seconds until the first run begins:")
    for name, value in seconds.items():
        print(f"  {value:6.2f}  {name}")
    return seconds["study submit --on slurm"]


def time_of_runs(slurm: Loopback, work: Path, rounds: int, n_runs: int) -> tuple[float, float]:
    """Print the time of a run on Slurm and without it.

    Returns:
        What Slurm adds to a run in seconds (difference of the medians), and its commands for each run.
    """
    log = work / "commands.txt"
    path = os.environ["PATH"]
    times_s: dict[str, list[float]] = {"shard on Slurm": [], "study run": []}
    n_calls, n_attempts = 0, 0
    os.environ[SECONDS] = str(_RUN_S)
    for number in range(rounds):
        os.environ["PATH"] = f"{counting_programs(work / f'bin-{number}', log)}:{path}"
        study = SlurmStudy(
            slurm, work / f"slurm-{number}", n_points=n_runs, n_cycles=1, seconds=_RUN_S
        )
        os.environ["PATH"] = path
        log.write_text("")  # what `study submit` has called
        study.settle()
        n_calls += len(log.read_text().splitlines())
        n_attempts += study.n_attempts(1)
        times_s["shard on Slurm"] += _gaps(begins(study.folder / "shards"))
        run_study(shuffled(n_runs, 1), measure=on_a_node, output=work / f"one-{number}")
        times_s["study run"] += _gaps(begins(work / f"one-{number}"))
    print(
        f"\nms from the begin of a run to the next ({1000 * _RUN_S:.0f} of them are the stand-in):"
    )
    for name, values in times_s.items():
        quarters = statistics.quantiles(values, n=4)
        print(
            f"  {name:15s} median {1000 * quarters[1]:5.0f}, quartiles "
            f"{1000 * quarters[0]:.0f} and {1000 * quarters[2]:.0f}, {len(values)} runs"
        )
    extra_s = statistics.median(times_s["shard on Slurm"]) - statistics.median(times_s["study run"])
    per_run = (n_calls - n_attempts) / (rounds * n_runs)
    print(f"  Slurm adds {1000 * extra_s:+.0f} ms to a run")
    print(f"  commands of Slurm: {n_calls} in {n_attempts} attempts, {per_run:g} for each run")
    return extra_s, per_run


def _gaps(instants: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(instants)]


def main() -> int:
    """Print both tables and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--runs", type=int, default=6, help="of each study")
    parser.add_argument("--prompts", type=int, default=2, help="of the tiny model")
    options = parser.parse_args()
    if reason := missing():
        print(reason)
        return 2
    keep_compiled_files()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with loopback_slurm() as (slurm, work):
        start_s = time_to_first_run(slurm, work, options.prompts)
        extra_s, per_run = time_of_runs(slurm, work, options.rounds, options.runs)
    return int(start_s > _MAX_START_S or extra_s > _MAX_OVERHEAD_S or per_run > 0)


if __name__ == "__main__":
    sys.exit(main())
