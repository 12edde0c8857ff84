"""Accuracy and cost of `EnergyMeter` around arbitrary code, beside ZeusMonitor in the same run.

    uv run python benchmarks/energy_meter.py [PART ...] [--quick]

Our meter runs in real time, with its thread, on the scripted driver of `tests/fakes`, through its
public API. Zeus measures the same windows of the same power on the virtual clock, where nothing
disturbs it. The true energy is a closed form. Each row has a goal; nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks and fakes are not installed
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.fake_nvml import FakeGpu, true_energy_j
from fakes.traces import LLM, TRACES

from benchmarks.energy.bench import Bench, Row, compared, p95
from benchmarks.energy.migration import changed_lines
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.installed import ROOT, install
from benchmarks.energy.peers.meter import measure_cost
from benchmarks.energy.peers.run import ZEUS, Measured, Missing
from benchmarks.shared.quantiles import share_interval

_SIDE = ("-m", "benchmarks.energy.meter_side")
_N_PROCESSES = 8  # they wait most of the time
_HEAVY = {"pynvml", "torch", "transformers", "pydantic", "numpy"}


def _ask(bench: Bench, part: str, gpu: FakeGpu, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """Return the answers to requests, each from a process of its own."""
    with ThreadPoolExecutor(_N_PROCESSES) as pool:
        return list(
            pool.map(lambda each: bench.run_our_side(part, [gpu], each, side=_SIDE), requests)
        )


def _measured(windows: Sequence[dict[str, Any]], gpu: FakeGpu) -> list[Measured]:
    return [
        Measured(tuple(w["window"]), w["energy_j"], true_energy_j(gpu, *w["window"]))
        for w in windows
    ]


def busy(bench: Bench) -> Iterator[Row]:
    """Return the p95 error of 1 s windows with the GPU busy before and after, in the mode light."""
    n = 40 if bench.n < 1000 else 125
    requests = [
        {"mode": "light", "n": n, "n_at_once": 1, "lengths_s": (0.9, 1.1), "seed": f"busy {i}"}
        for i in range(_N_PROCESSES)
    ]
    answers = _ask(bench, "busy", LLM, requests)
    ours = _measured([w for answer in answers for w in answer["windows"]], LLM)
    peer = peer_runs.zeus_windows(bench.peers, LLM, [m.window for m in ours])
    yield compared(
        f"p95 error, light, GPU busy around, {len(ours)} windows of 1 s, vs ZeusMonitor", 0.35,
        p95(ours), peer if isinstance(peer, Missing) else p95(peer), "%",
    )  # fmt: skip


def idle(bench: Bench) -> Iterator[Row]:
    """Return the p95 error of 1 s loads with idle around, in the mode exact."""
    n = 10 if bench.n < 1000 else 50
    requests = [
        {"mode": "exact", "n": n, "lengths_s": (0.9, 1.1), "seed": f"idle {i}"}
        for i in range(_N_PROCESSES)
    ]
    base = FakeGpu(points=((0.0, 95.0),), counter_phase_s=0.037)
    ours: list[Measured] = []
    theirs: list[Measured] = []
    for answer in _ask(bench, "isolated", base, requests):
        gpu = replace(base, points=tuple(map(tuple, answer["points"])))
        measured = _measured(answer["windows"], gpu)
        peer = peer_runs.zeus_windows(bench.peers, gpu, [m.window for m in measured])
        ours += measured
        if isinstance(peer, Missing):
            yield Row("p95 error, exact, idle around", "<= 0.1 x", f"{p95(ours):.3g} %",
                      peer.reason[:60], "", None)  # fmt: skip
            return
        theirs += peer
    yield compared(
        f"p95 error, exact, idle around, {len(ours)} windows of 1 s, vs ZeusMonitor", 0.1,
        p95(ours), p95(theirs), "%",
    )  # fmt: skip


def bound(bench: Bench) -> Iterator[Row]:
    """Return how often the true energy is within the bound."""
    per_trace = 40 if bench.n < 1000 else 320  # times 8 processes and 4 traces
    for name, gpu in TRACES.items():
        requests = [
            {"mode": "light", "n": per_trace, "n_at_once": 20, "lengths_s": (0.1, 3.0),
             "seed": f"bound {name} {i}"}
            for i in range(_N_PROCESSES)
        ]  # fmt: skip
        windows = [w for each in _ask(bench, "busy", gpu, requests) for w in each["windows"]]
        within = bounded = 0
        shares = []
        for window, measured in zip(windows, _measured(windows, gpu), strict=True):
            if window["energy_j"] is None or window["bound_j"] is None:
                continue
            bounded += 1
            within += abs(window["energy_j"] - measured.truth_j) <= window["bound_j"]
            shares.append(100 * window["bound_j"] / measured.truth_j)
        share = 100 * within / bounded
        yield Row(
            f"truth within the bound, light, {name}, {len(windows)} windows of 0.1-3 s",
            ">= 99.5 %", f"{share:.2f} %", "Zeus reports none",
            f"median bound {statistics.median(shares):.2g} %; {len(windows) - bounded} without one",
            share >= 99.5,
        )  # fmt: skip


def edges(bench: Bench) -> Iterator[Row]:
    """Return the duration of begin and end in the mode light, back to back and after a sleep.

    A sleep empties the caches of the processor, and what is called after it takes longer. An edge runs
    more Python than a bare read does, so an empty function shows by how much longer that takes.
    """
    n_repeats, n = (3, 500) if bench.n < 1000 else (9, 2000)
    for pause_s, period_s in ((0.0, 0.1), (0.05, 0.1), (0.05, 0.02)):
        gpu = FakeGpu(latency_us=200, counter_period_s=period_s)
        n_windows = n if not pause_s else n // 10
        request = {"n": n_windows, "pause_s": pause_s}
        took = [bench.run_our_side("edges", [gpu], request, side=_SIDE) for _ in range(n_repeats)]
        ratios = [(each["begin_s"] + each["end_s"]) / (2 * each["bare_s"]) for each in took]
        ours, bare = (
            1e6 * statistics.median(sum(each[name] for name in names) for each in took)
            for names in (("begin_s", "end_s"), ("bare_s", "bare_s"))
        )
        empty_us = 1e6 * statistics.median(each["empty_s"] for each in took)
        when = f"after {pause_s:g} s of sleep each" if pause_s else "back to back"
        what = f"begin + end, light, {when}, counter of {1e3 * period_s:g} ms"
        yield Row(
            f"{what}, vs two bare reads in turn with it, median of {n_repeats} runs", "<= 1.1 x",
            f"{ours:.0f} us", f"{bare:.0f} us",
            f"{statistics.median(ratios):.3f} x ({min(ratios):.3f} to {max(ratios):.3f}); "
            f"an empty function takes {empty_us:.2g} us", statistics.median(ratios) <= 1.1,
        )  # fmt: skip
        zeus = peer_runs.zeus_edges(bench.peers, n=n_windows, pause_s=pause_s)
        yield compared(
            f"{what}, vs ZeusMonitor", 1.1, ours,
            zeus if isinstance(zeus, Missing) else 1e6 * (zeus.begin_s + zeus.end_s), "us",
        )  # fmt: skip


def cost(bench: Bench) -> Iterator[Row]:
    """Return the cost of the thread, and of many windows."""
    ours = measure_cost(
        [sys.executable, *_SIDE, "cost"], {}, seconds=bench.seconds, env=bench.environment([LLM]),
        cwd=bench.folder,
    )  # fmt: skip
    yield Row(
        "meter at 10 Hz with an open window, of a core", "< 1 %", f"{ours.cpu_percent:.3g} %", "",
        f"start {1e3 * ours.started_s:.0f} ms with calibration", ours.cpu_percent < 1,
    )  # fmt: skip
    n = 1000 if bench.n < 1000 else 10_000
    for keeps in (False, True):
        answer = bench.run_our_side(
            "many", [LLM], {"n": n, "length_s": 0.02, "keeps": keeps}, side=_SIDE
        )
        first, last = answer["memory_bytes"][0], answer["memory_bytes"][-1]
        grown_bytes = last - first
        note = (
            f"{1e6 * answer['cpu_s'] / n:.0f} us of CPU time per window, thread included; "
            f"{answer['n_missing']} missing"
        )
        if keeps:  # the objects that the user keeps
            yield Row(
                f"memory of a window whose object is kept and not read, {n} windows", "",
                f"{grown_bytes / (0.9 * n) / 2**10:.1f} KiB", "", note, None,
            )  # fmt: skip
            continue
        yield Row(
            f"memory after {n} windows, above that after {n // 10}", "< 5 MiB",
            f"{grown_bytes / 2**20:.1f} MiB", "", note, grown_bytes < 5 * 2**20,
        )  # fmt: skip


def imports(bench: Bench) -> Iterator[Row]:
    """Return the CPU time of importing the meter, above that of Python, and what is loaded."""
    n = 9 if bench.n < 1000 else 25
    for program in ("import llem_energy", "from llem_energy import EnergyMeter"):
        took_ms = [1e3 * (_cpu_s(program) - _cpu_s("pass")) for _ in range(n)]  # in turn
        show = f"{program}; import sys; print(*sorted({_HEAVY} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True)
        loaded = (done.stdout if done.returncode == 0 else done.stderr).strip()
        median_ms = statistics.median(took_ms)
        yield Row(
            f"`{program}`, CPU time, median of {n}", "< 60 ms", f"{median_ms:.0f} ms", "",
            f"{min(took_ms):.0f} to {max(took_ms):.0f} ms; "
            f"loads {loaded or 'neither NVML nor torch'}", median_ms < 60 and not loaded,
        )  # fmt: skip


def _cpu_s(program: str) -> float:
    """Return the CPU time of a program, which depends less on other load than its duration."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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

    with ThreadPoolExecutor(_N_PROCESSES) as pool:
        answers = list(pool.map(is_told_apart, range(n)))
    for name, i in (("energy", 0), ("duration", 1)):
        n_false = sum(answer[i] for answer in answers)
        low, high = share_interval(n_false, n)
        yield Row(
            f"`meter --compare` of a command with itself, {n_runs} pairs: {name} told apart", "5 %",
            f"{100 * n_false / n:.1f} %", "", f"{n_false} of {n}, 95 % interval {100 * low:.1f} to "
            f"{100 * high:.1f} %", low <= 0.05,
        )  # fmt: skip


PARTS = {
    "import": imports,
    "busy": busy,
    "idle": idle,
    "bound": bound,
    "edges": edges,
    "cost": cost,
    "libraries": libraries,
    "migration": migration,
    "compare": compare,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="*", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer windows")
    options = parser.parse_args()
    start = time.perf_counter()
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}\n")  # fmt: skip
    print("| what | goal | ours | peer | ratio or note | met |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), quick=options.quick)
        for name in options.part or PARTS:
            for row in PARTS[name](bench):
                met = "-" if row.met is None else "yes" if row.met else "**no**"
                cells = (row.what, row.goal, row.ours, row.peer, row.ratio, met)
                print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
