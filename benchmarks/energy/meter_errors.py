"""The errors of `EnergyMeter` around parts of a load, and how often the true energy is within the bound."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from fakes.fake_nvml import FakeGpu, true_energy_j
from fakes.traces import LLM, TRACES

from benchmarks.energy.bench import METER_SIDE, N_WAITING, Bench, Row, compared, p95
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.run import Measured, Missing


def busy(bench: Bench) -> Iterator[Row]:
    """Return the p95 error of 1 s windows with the GPU busy before and after, in the mode light."""
    n = 40 if bench.n < 1000 else 125
    requests = [
        {"mode": "light", "n": n, "n_at_once": 1, "lengths_s": (0.9, 1.1), "seed": f"busy {i}"}
        for i in range(N_WAITING)
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
        for i in range(N_WAITING)
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
            for i in range(N_WAITING)
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


def _ask(bench: Bench, part: str, gpu: FakeGpu, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """Return the answers to requests, each from a process of its own."""
    with ThreadPoolExecutor(N_WAITING) as pool:
        return list(
            pool.map(lambda each: bench.run_our_side(part, [gpu], each, side=METER_SIDE), requests)
        )


def _measured(windows: Sequence[dict[str, Any]], gpu: FakeGpu) -> list[Measured]:
    return [
        Measured(tuple(w["window"]), w["energy_j"], true_energy_j(gpu, *w["window"]))
        for w in windows
    ]
