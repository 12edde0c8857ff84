"""Prints the figures of the peers only."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from random import Random

from fakes.traces import CONSTANT, LLM, SQUARE, TRACES, blocks, random_windows

from benchmarks.energy.peers import __doc__ as description
from benchmarks.energy.peers.run import (
    Edges,
    Measured,
    Missing,
    Outcome,
    Peers,
    codecarbon_cost,
    codecarbon_faults,
    codecarbon_tasks,
    idle_cost,
    zeus_cost,
    zeus_edges,
    zeus_faults,
    zeus_power_faults,
    zeus_power_windows,
    zeus_windows,
)


def _spread(measured: list[Measured] | Missing) -> str:
    if isinstance(measured, Missing):
        return measured.reason
    errors = sorted(abs(window.error_percent) for window in measured)
    bias = statistics.fmean(window.error_percent for window in measured)
    return (
        f"|error| p50 {statistics.median(errors):7.2f} %, "
        f"p95 {errors[int(0.95 * (len(errors) - 1))]:7.2f} %, worst {errors[-1]:7.2f} %, "
        f"bias {bias:+7.2f} %  ({len(errors)} windows, "
        f"{sum(window.energy_j == 0 for window in measured)} of 0 J)"
    )


def show_windows(peers: Peers) -> None:
    """Print the errors of ZeusMonitor on the virtual clock."""
    lengths_s, n = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0), 1000
    windows = [window for length_s in lengths_s for window in random_windows(length_s, n)]
    for name, gpu in TRACES.items():
        measured = zeus_windows(peers, gpu, windows)
        for i, length_s in enumerate(lengths_s):
            part = measured if isinstance(measured, Missing) else measured[n * i : n * (i + 1)]
            print(f"ZeusMonitor, {name:13} {length_s:5} s: {_spread(part)}")
    for tail_s in (0.0, 0.4):
        script = blocks(tail_s=tail_s)
        measured = zeus_windows(peers, script.gpu, script.windows)
        print(f"ZeusMonitor, isolated blocks, tail {tail_s} s: {_spread(measured)}")


def show_power(peers: Peers) -> None:
    """Print the errors of Zeus's PowerMonitor in real time."""
    traces = {"constant": CONSTANT, "square 0.8 s": SQUARE, "LLM": LLM}
    lengths_s, n = (1.0, 2.0, 5.0, 10.0), 100
    windows = [
        window
        for length_s in lengths_s
        for window in random_windows(length_s, n, start_s=0.0, span_s=20.0)
    ]
    with ThreadPoolExecutor(len(traces)) as pool:
        by_trace = list(
            pool.map(lambda gpu: zeus_power_windows(peers, gpu, windows), traces.values())
        )
    for name, measured in zip(traces, by_trace, strict=True):
        for i, length_s in enumerate(lengths_s):
            part = measured if isinstance(measured, Missing) else measured[n * i : n * (i + 1)]
            print(f"Zeus PowerMonitor, {name:13} {length_s:4} s: {_spread(part)}")


def show_tasks(peers: Peers) -> None:
    """Print the errors of CodeCarbon in real time."""

    def measure(length_s: float) -> tuple[list[Measured], Edges] | Missing:
        rng = Random(0)  # see `random_windows` for why the lengths differ
        n = round(16 / length_s)
        pairs = [(rng.uniform(0.1, 0.3), length_s * rng.uniform(0.9, 1.1)) for _ in range(n)]
        return codecarbon_tasks(peers, LLM, pairs)

    lengths_s = (1.0, 2.0)
    with ThreadPoolExecutor(len(lengths_s)) as pool:
        answers = list(pool.map(measure, lengths_s))
    for length_s, answer in zip(lengths_s, answers, strict=True):
        if isinstance(answer, Missing):
            print(f"CodeCarbon, LLM: {answer.reason}")
            continue
        measured, edges = answer
        print(f"CodeCarbon, LLM {length_s} s: {_spread(measured)}; start_task "
              f"{edges.begin_s * 1e6:.0f} us, stop_task {edges.end_s * 1e6:.0f} us")  # fmt: skip


def show_cost(peers: Peers, seconds: float = 15.0) -> None:
    """Print the cost of the peers."""
    costs = {
        "a process that only waits": idle_cost(peers, seconds=seconds),
        "Zeus PowerMonitor, 1 domain, 0.1 s": zeus_cost(peers, n_domains=1, seconds=seconds),
        "Zeus PowerMonitor, 3 domains, 0.1 s": zeus_cost(peers, n_domains=3, seconds=seconds),
        "CodeCarbon, 1 s": codecarbon_cost(peers, seconds=seconds),
    }
    for name, cost in costs.items():
        if isinstance(cost, Missing):
            print(f"{name:36} {cost.reason}")
            continue
        print(f"{name:36} {cost.cpu_percent:.3f} % of a core, start {cost.started_s * 1e3:.0f} ms, "
              f"{cost.n_processes} processes, helpers {cost.helper_bytes / 2**20:.0f} MiB, main "
              f"{cost.main_bytes / 2**20:.0f} MiB")  # fmt: skip


def show_edges(peers: Peers) -> None:
    """Print the duration of the edges of a window."""
    for latency_us in (0, 200):
        edges = zeus_edges(peers, latency_us=latency_us)
        if isinstance(edges, Missing):
            print(edges.reason)
            continue
        seconds = {name: f"{s * 1e6:.0f} us" for name, s in asdict(edges).items()}
        print(f"ZeusMonitor, NVML takes {latency_us} us: {seconds}")


def show_faults(peers: Peers) -> None:
    """Print whether ZeusMonitor and CodeCarbon detect the faults."""
    _show_outcomes(zeus_faults(peers))
    _show_outcomes(codecarbon_faults(peers))


def show_power_faults(peers: Peers) -> None:
    """Print the same for Zeus PowerMonitor, which takes long to start."""
    _show_outcomes(zeus_power_faults(peers))


def _show_outcomes(outcomes: list[Outcome] | Missing) -> None:
    if isinstance(outcomes, Missing):
        print(outcomes.reason)
        return
    for outcome in outcomes:
        value = "no value" if outcome.value_j is None else f"{outcome.value_j:.0f} J"
        messages = [outcome.error or "-", *outcome.warnings]
        messages += [f"(helper) {line}" for line in outcome.helper_log]
        print(f"{outcome.meter:17} {outcome.scenario:37} {outcome.verdict:7} {value} of "
              f"{outcome.truth_j:.0f} J: {' | '.join(messages)}")  # fmt: skip
    verdicts = Counter(outcome.verdict for outcome in outcomes[1:])
    only_logged = sum(outcome.only_logged for outcome in outcomes[1:])
    print(f"{outcomes[0].meter}: {dict(verdicts)}, of these {only_logged} flagged only in a log")


_PARTS = {
    "windows": show_windows,
    "power": show_power,
    "tasks": show_tasks,
    "cost": show_cost,
    "edges": show_edges,
    "faults": show_faults,
    "power_faults": show_power_faults,
}


def main() -> None:
    """Print the figures of the peers."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("part", nargs="*", choices=[*_PARTS, []], help="default: all")
    parts = parser.parse_args().part or list(_PARTS)
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(Path(folder))
        for part in parts:
            start_s = time.perf_counter()
            _PARTS[part](peers)
            print(f"({part}: {time.perf_counter() - start_s:.0f} s)\n")


if __name__ == "__main__":
    main()
