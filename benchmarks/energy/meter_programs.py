"""`EnergyMeter` and `llem-cli meter` around other programs: jax, a script for Zeus, a command of any kind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from fakes.fake_nvml import FakeGpu
from fakes.traces import LLM

from benchmarks.energy.bench import N_WAITING, Bench, Row
from benchmarks.energy.migration import changed_lines
from benchmarks.energy.peers.installed import ROOT, install
from benchmarks.energy.peers.run import ZEUS, Missing
from benchmarks.shared.quantiles import share_interval


def libraries(bench: Bench) -> Iterator[Row]:
    """Return whether a window contains work that jax has only submitted, with the real jax and cupy."""
    python = install(
        bench.folder / "libraries", "jax", "cupy-cuda12x", "nvidia-ml-py",
        *(str(ROOT / "packages" / name) for name in ("llem-config", "llem-energy")),
    )  # fmt: skip
    what = "window around work that jax has submitted and whose result is dropped"
    if isinstance(python, Missing):
        yield Row(what, ">= 0.8 x", "", "", python.reason[:200], None)
        return
    answer = bench.run_our_side(
        "windows", [LLM], {"n": 10 if bench.n < 1000 else 40},
        side=("-m", "benchmarks.energy.library_side"), python=python,
    )  # fmt: skip
    ratio = answer["window_s"] / answer["blocked_s"]
    yield Row(
        f"{what}, vs waited for by jax ({answer['versions']}, CPU)", ">= 0.8 x",
        f"{1e3 * answer['window_s']:.0f} ms", f"{1e3 * answer['blocked_s']:.0f} ms",
        f"{ratio:.2f} x; submitted in {1e3 * answer['submitted_s']:.2g} ms; "
        f"{'; '.join(answer['reasons']) or 'no window is flagged because of cupy'}",
        ratio >= 0.8 and not answer["reasons"],
    )  # fmt: skip


def migration(bench: Bench) -> Iterator[Row]:
    """Return what changes in a script that moves from ZeusMonitor to EnergyMeter, and what both print."""
    theirs, ours = (ROOT / "benchmarks" / "energy" / "migration" / name for name in
                    ("with_zeus.py", "with_llem.py"))  # fmt: skip
    n_changed = len(changed_lines(theirs.read_text("utf-8"), ours.read_text("utf-8")))
    gpu = FakeGpu(points=((0.0, 300.0),))
    done = subprocess.run(
        [sys.executable, str(ours)], env=bench.environment([gpu]), capture_output=True, text=True
    )
    answer = bench.peers.ask(ZEUS, "script", [gpu], {"path": str(theirs)})
    zeus = answer.reason[:60] if isinstance(answer, Missing) else answer[0]["out"].splitlines()[-1]
    printed = (done.stdout if done.returncode == 0 else done.stderr).splitlines()
    yield Row(
        "lines that change in a script from ZeusMonitor; its last line on a GPU at 300 W",
        "import + 3", f"{n_changed} with the import: {printed[-1]}", zeus, "",
        n_changed <= 4 and done.returncode == 0,
    )  # fmt: skip


def compare(bench: Bench) -> Iterator[Row]:
    """Return how often `meter --compare` tells two commands apart that are the same."""
    n = 8 if bench.n < 1000 else 100
    length_s, n_runs = 0.4, 5

    def is_told_apart(i: int) -> tuple[bool, bool]:
        command = ["sleep", str(length_s)]
        done = subprocess.run(
            [sys.executable, "-m", "llem_cli", "meter", "--json", "--gap", "0", "--runs", str(n_runs),
             "--compare", " ".join(command), "--", *command],
            env=bench.environment([LLM]) | {"LLEM_CACHE": str(bench.folder / f"calibration-{i}.json")},
            capture_output=True, text=True, check=True, timeout=600,
        )  # fmt: skip
        comparison = json.loads(done.stdout)["comparison"]
        return comparison["energy"]["distinguishable"], comparison["duration"]["distinguishable"]

    with ThreadPoolExecutor(N_WAITING) as pool:
        answers = list(pool.map(is_told_apart, range(n)))
    for name, i in (("energy", 0), ("duration", 1)):
        n_false = sum(answer[i] for answer in answers)
        low, high = share_interval(n_false, n)
        yield Row(
            f"`meter --compare` of a command with itself, {n_runs} pairs: {name} told apart", "5 %",
            f"{100 * n_false / n:.1f} %", "", f"{n_false} of {n}, 95 % interval {100 * low:.1f} to "
            f"{100 * high:.1f} %", low <= 0.05,
        )  # fmt: skip
