"""Runs the quickstart on a real Slurm, disturbs it, and compares its result with that of one machine.

    uv run python benchmarks/slurm_quickstart.py [--limit 6m] [--warn 60] [--set FIELD=VALUE]...

Starts a Slurm with two nodes on this machine (as root; packages slurm-wlm and munge). The models are
loaded and measured; a machine without a meter has no energies. Both nodes are this machine, so one task
works at a time: beside another one, its runs would be flagged. Any other program has the same effect: the
benchmark prints the reasons of all flags. The study is put back into the queue twice, loses a node
whose processes live on, and reaches time limits. Then the same study runs without a cluster,
and a table says what was compared. The exit code is 1 if runs, points, tokens or fields are not the same,
if a value differs for no known reason, or if a disturbance did not happen.
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

from slurm.daemons import missing
from slurm.loopback import Loopback, started

from benchmarks.disturbed_slurm.compared_results import compare, comparison, differences, flags
from llem_runner.shards import open_shards

ROOT = Path(__file__).parents[1]
_LIMIT_S = 3600.0


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
    held: frozenset[str] = frozenset()
    cut_off = 0
    end = time.monotonic() + _LIMIT_S
    while open_shards(folder):
        assert time.monotonic() < end, f"not complete: {open_shards(folder)}"
        slurm.hurry(held)
        n_results = len(list(folder.glob("shards/*/a*/*/result.json")))
        running = slurm.ask("squeue", "-h", "-r", "-t", "R", "-o", "%F_%K %N", check=False)
        tasks = [line.split() for line in running.splitlines() if _has_just_begun(folder, line)]
        if len(done) < 2 and n_results > 2 * len(done) and tasks:
            slurm.ask("scontrol", "requeue", tasks[0][0])
            done.append(f"requeue {tasks[0][0]}")
        elif n_results >= 5 and len(done) == 2 and (whole := _without_results(folder, tasks)):
            task, node = whole[0]
            slurm.kill(f"slurmd-{node}")
            slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=cut off")
            # No other shard begins first: the process that lives on must be there when its successor begins.
            held = frozenset(slurm.ask("squeue", "-h", "-r", "-t", "PD", "-o", "%F_%K").split())
            held -= {task}
            for other in held:
                slurm.ask("scontrol", "hold", other, check=False)
            done.append(f"cut off {node}")
            cut_off = int(task.rpartition("_")[2])
        elif len(done) == 3 and (_is_fenced(folder) or cut_off not in open_shards(folder)):
            node = done[2].split()[-1]
            slurm.start_node(int(node[1:]))
            slurm.ask("scontrol", "update", f"nodename={node}", "state=resume", check=False)
            held = frozenset()
            done.append(f"{node} back")
        if not slurm.ask("squeue", "-h", check=False) and open_shards(folder):
            llem(work, "study", "resume", folder, "--on", "slurm")
            done.append("resume")
        time.sleep(0.5)
    slurm.empty(60)
    return done


def _is_fenced(folder: Path) -> bool:
    """Return whether a process has noticed its successor."""
    return any(record["state"] == "fenced" for record in attempts(folder))


def _has_just_begun(folder: Path, line: str) -> bool:
    """Return whether a task has an attempt without a result, and more than one run before it.

    So it is disturbed in the middle, and one that lives on has time to notice its successor.

    Args:
        folder: of the study.
        line: of a task, such as `12_3 n1`.
    """
    shard = folder / "shards" / f"{int(line.split()[0].rpartition('_')[2]):04d}"
    last = max(shard.glob("a*/attempt.json"), default=None)
    if last is None or json.loads(last.read_text())["state"] != "running":
        return False
    n_runs = len(json.loads((shard / "shard.json").read_text())["shard"]["runs"])
    n_done = len({path.parent.name for path in shard.glob("a*/*/result.json")})
    return n_runs - n_done > 1 and not any(last.parent.glob("*/result.json"))


def _without_results(folder: Path, tasks: list[list[str]]) -> list[list[str]]:
    """Return the tasks, each with its node, whose shards have no result yet."""
    numbers = {task[0]: int(task[0].rpartition("_")[2]) for task in tasks}
    return [
        t for t in tasks if not list(folder.glob(f"shards/{numbers[t[0]]:04d}/a*/*/result.json"))
    ]


def attempts(folder: Path) -> list[dict[str, Any]]:
    """Return the records of all attempts, in their order."""
    files = sorted(folder.glob("shards/*/a*/attempt.json"))
    return [json.loads(file.read_text()) for file in files]


def show(one: Path, cluster: Path) -> bool:
    """Print what was compared; return whether everything is as it must be."""
    made = attempts(cluster)
    print("\nattempts:")
    for record in made:
        reason = f" ({record['reason']})" if record["reason"] else ""
        print(f"  shard {record['shard']}, {record['machine']}: {record['state']}{reason}")
    print("\n| compared | one machine | Slurm | |\n| --- | --- | --- | --- |")
    rows = compare(one, cluster)
    for row in rows:
        print(
            f"| {row.what} | {row.here} | {row.there} | {'equal' if row.is_equal else 'DIFFERS'} |"
        )
    print(f"\npoints compared: one machine: {comparison(one)}; Slurm: {comparison(cluster)}")
    print("\nvalues of study_result.json that differ:")
    reasons = differences(one, cluster)
    for reason, n in reasons.most_common():
        print(f"  {n:4d}  {reason}")
    print("\nreasons of flags (runs on one machine, on Slurm):")
    for reason, n_one, n_cluster in flags(one, cluster):
        print(f"  {n_one:4d} {n_cluster:4d}  {reason}")
    states = {record["state"] for record in made}
    return (
        all(row.is_equal for row in rows)
        and not any(reason.startswith("not explained") for reason in reasons)
        and {"again", "stopped", "fenced", "complete"} <= states
    )


def main() -> int:
    """Run both studies, print the comparison, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--limit", default="6m", help="time limit of a job: less than its runs need"
    )
    parser.add_argument("--warn", type=int, default=60, help="seconds between signal and limit")
    parser.add_argument(
        "--set", action="append", default=[], help="field of the study, e.g. n=2; repeatable"
    )
    parser.add_argument("--keep", action="store_true", help="keep both studies, and print where")
    options = parser.parse_args()
    if reason := missing():
        print(reason)
        return 2
    work = Path(tempfile.mkdtemp(prefix="llem-quickstart-"))
    flags = ["--no-gaps", *(part for text in options.set for part in ("--set", text))]
    study = ROOT / "examples" / "quickstart.yaml"
    (work / "config.yaml").write_text(
        f"clusters:\n  slurm: {{gpus: 0, at_most: 1, time: {options.limit}, warn_seconds: {options.warn}}}\n"
    )
    try:
        with started() as slurm:
            os.environ |= {name: slurm.environment[name] for name in ("PATH", "SLURM_CONF")}
            began_s = time.monotonic()
            llem(work, "study", "submit", study, "--on", "slurm", "--output", "cluster", *flags)
            (folder,) = (work / "cluster").iterdir()
            done = disturb(slurm, work, folder)
            llem(work, "study", "merge", folder)
            print(f"on Slurm: {', '.join(done)}; {time.monotonic() - began_s:.0f} s", flush=True)
        began_s = time.monotonic()
        llem(work, "study", "run", study, "--output", "one", *flags)
        print(f"on one machine: {time.monotonic() - began_s:.0f} s")
        (single,) = (work / "one").iterdir()
        return int(not show(single, folder))
    finally:
        if options.keep:
            print(work)
        else:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
