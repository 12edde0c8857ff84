"""Runs the quickstart on a real Slurm, disturbs it, and compares its result with that of one machine.

    uv run python benchmarks/slurm_quickstart.py [--prompts N] [--limit 2m] [--warn 60]

Starts a Slurm with two nodes on this machine (as root; packages slurm-wlm and munge). The models are
loaded and measured; a machine without a meter has no energies. The study is put back into the queue,
loses a node whose processes live on, and reaches time limits. Then every run must have a result in both
studies, and `study_result.json` the same fields and points; values, times and machines differ.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are not installed
sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the Slurm

from slurm.loopback import Loopback, missing, started

from llem_runner.shards import open_shards

ROOT = Path(__file__).parents[1]
_LIMIT_S = 1500.0


def llem(work: Path, *arguments: str | Path) -> str:
    """Run the command line; return what it prints.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    command = [sys.executable, "-m", "llem_cli", *map(str, arguments)]
    env = {**os.environ, "LLEM_CONFIG": str(work / "config.yaml")}
    done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(
            done.returncode, command, done.stdout, done.stderr[-2000:]
        )
    return done.stdout


def disturb(slurm: Loopback, work: Path, folder: Path) -> list[str]:
    """Disturb a study and continue it until it is complete; return what was done to it.

    Raises:
        AssertionError: it does not complete.
    """
    done: list[str] = []
    end = time.monotonic() + _LIMIT_S
    while open_shards(folder):
        assert time.monotonic() < end, f"not complete: {open_shards(folder)}"
        slurm.hurry()
        n_results = len(list(folder.glob("shards/*/a*/*/result.json")))
        running = slurm.ask("squeue", "-h", "-r", "-t", "R", "-o", "%F_%K %N", check=False).split()
        if n_results >= 2 and not done and running:
            slurm.ask("scontrol", "requeue", running[0])
            done.append("requeue")
        elif n_results >= 4 and len(done) == 1 and running:
            node = running[1]
            slurm.kill(f"slurmd-{node}")
            slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=cut off")
            done.append(f"cut off {node}")
        elif n_results >= 7 and len(done) == 2:
            node = done[1].split()[-1]
            slurm.start_node(int(node[1:]))
            slurm.ask("scontrol", "update", f"nodename={node}", "state=resume", check=False)
            done.append("node back")
        if not slurm.ask("squeue", "-h", check=False) and open_shards(folder):
            llem(work, "study", "resume", folder, "--on", "slurm")
            done.append("resume")
        time.sleep(0.5)
    slurm.empty(60)
    return done


def compared(folder: Path) -> dict[str, Any]:
    """Return what must be equal in both results."""
    result = json.loads((folder / "study_result.json").read_text())
    summary = result["summary"]
    return {
        "fields": sorted(result),
        "summary": sorted(summary),
        "status": result["status"],
        "runs": [summary["planned"], summary["completed"], summary["failed"]],
        "points": sorted(point["config_hash"] for point in summary["points"]),
        "fields of a point": [sorted(point) for point in summary["points"]],
        "design": result["study_design_hash"],
    }


def main() -> int:
    """Run both studies, print the differences, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument(
        "--limit", default="2m", help="time limit of a job; twice that of a few runs"
    )
    parser.add_argument("--warn", type=int, default=60, help="seconds between signal and limit")
    options = parser.parse_args()
    if reason := missing():
        print(reason)
        return 2
    work = Path(tempfile.mkdtemp(prefix="llem-quickstart-"))
    flags = ["--set", f"n={options.prompts}", "--no-gaps"]
    study = ROOT / "examples" / "quickstart.yaml"
    (work / "config.yaml").write_text(
        f"clusters:\n  slurm: {{gpus: 0, time: {options.limit}, warn_seconds: {options.warn}}}\n"
    )
    try:
        with started() as slurm:
            os.environ |= {name: slurm.environment[name] for name in ("PATH", "SLURM_CONF")}
            began_s = time.monotonic()
            llem(work, "study", "submit", study, "--on", "slurm", "--output", "cluster", *flags)
            (folder,) = (work / "cluster").iterdir()
            done = disturb(slurm, work, folder)
            llem(work, "study", "merge", folder)
            print(f"on Slurm: {', '.join(done)}; {time.monotonic() - began_s:.0f} s")
        llem(work, "study", "run", study, "--output", "one", *flags)
        (single,) = (work / "one").iterdir()
        ends = [
            json.loads(path.read_text()) for path in sorted(folder.glob("shards/*/a*/attempt.json"))
        ]
        print("attempts:", ", ".join(f"{e['shard']}: {e['state']} on {e['machine']}" for e in ends))
        here, there = compared(single), compared(folder)
        for key in here:
            print(f"{key}: {'equal' if here[key] == there[key] else (here[key], there[key])}")
        return int(here != there)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
