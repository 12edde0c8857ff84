"""The error of the energy of a window, and how often the true energy is within the bound."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from fakes.fake_nvml import FakeGpu, true_energy_j
from fakes.traces import CONSTANT, LLM, SQUARE, TRACES, blocks, random_windows

from benchmarks.energy.bench import Bench, Row, bias, compared, p95, worst
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.run import Measured, Missing

_LENGTHS_S = (1.0, 2.0, 5.0, 10.0)


def window_errors(bench: Bench) -> Iterator[Row]:
    """Return the p95 error of windows inside a continuous run, and the worst of isolated blocks."""
    for name, gpu, goal in (("LLM", LLM, 0.2), ("square wave", SQUARE, 0.25)):
        for length_s in _LENGTHS_S:
            windows = random_windows(length_s, bench.n)
            ours, _ = bench.windows(gpu, windows, guard=False)
            peer = peer_runs.zeus_windows(bench.peers, gpu, windows)
            what = f"p95 error, {name}, {length_s:g} s windows, vs ZeusMonitor"
            yield compared(
                what, goal, p95(ours), peer if isinstance(peer, Missing) else p95(peer), "%"
            )
    for tail_s in (0.0, 0.4):
        script = blocks(tail_s=tail_s)
        ours, _ = bench.windows(script.gpu, script.windows, guard=True)
        peer = peer_runs.zeus_windows(bench.peers, script.gpu, script.windows)
        what = f"worst error, isolated 1-3 s blocks, power tail {tail_s:g} s, vs ZeusMonitor"
        yield compared(
            what, 0.05, worst(ours), peer if isinstance(peer, Missing) else worst(peer), "%"
        )


def biases(bench: Bench) -> Iterator[Row]:
    """Return the bias of real-time recordings, compared with Zeus PowerMonitor and CodeCarbon."""
    windows = [
        w for s in (1.0, 2.0, 5.0, 10.0) for w in random_windows(s, 50, start_s=0, span_s=15)
    ]

    def both(gpu: FakeGpu) -> tuple[list[Measured], list[Measured] | Missing]:
        answer = bench.run_our_side("recorded", [gpu], {"windows": windows})
        start_s = answer["start_s"]
        shifted = [(start_s + t0_s, start_s + t1_s) for t0_s, t1_s in windows]
        ours = [
            Measured(w, energy_j, true_energy_j(gpu, *w))
            for w, energy_j in zip(shifted, answer["energies_j"], strict=True)
        ]
        return ours, peer_runs.zeus_power_windows(bench.peers, gpu, windows)

    with ThreadPoolExecutor(2) as pool:
        (llm, zeus_llm), (constant, zeus_constant) = pool.map(both, (LLM, CONSTANT))
    peer = zeus_llm if isinstance(zeus_llm, Missing) else abs(bias(zeus_llm))
    yield compared("bias, LLM, 1-10 s, vs Zeus PowerMonitor", 0.1, abs(bias(llm)), peer, "%")
    constant_bias = (
        zeus_constant.reason
        if isinstance(zeus_constant, Missing)
        else f"{bias(zeus_constant):.3g} %"
    )
    yield Row(
        "worst error, constant power, 1-10 s", "< 0.5 %", f"{worst(constant):.3g} %",
        f"Zeus PowerMonitor {constant_bias}", "", worst(constant) < 0.5,
    )  # fmt: skip
    lengths = [(0.3, 1.0)] * 8 + [(0.3, 2.0)] * 4
    tasks = peer_runs.codecarbon_tasks(bench.peers, LLM, lengths)
    windows = [w for s in (1.0, 2.0) for w in random_windows(s, 100)]
    ours, _ = bench.windows(LLM, windows, guard=False)
    yield compared(
        "p95 error, LLM, 1-2 s, vs CodeCarbon task", 1.0, p95(ours),
        tasks if isinstance(tasks, Missing) else p95(tasks[0]), "%",
    )  # fmt: skip


def bounds(bench: Bench) -> Iterator[Row]:
    """Return how often the true energy is within the bound, and within the narrower uncertainty."""
    tail = blocks(n=60, tail_s=0.4)
    scripts: dict[str, tuple[FakeGpu, float]] = {n: (gpu, 600.0) for n, gpu in TRACES.items()}
    scripts["blocks with tails"] = (tail.gpu, tail.windows[-1][1] - 15)
    scripts["LLM, counter 20 ms +- 3 ms"] = (
        replace(LLM, counter_period_s=0.02, counter_jitter_s=0.003), 600.0,
    )  # fmt: skip
    scripts["LLM, counter 106 ms +- 5 ms"] = (
        replace(LLM, counter_period_s=0.106, counter_jitter_s=0.005), 600.0,
    )  # fmt: skip
    scripts["LLM, counter 500 ms"] = (replace(LLM, counter_period_s=0.5), 600.0)
    draw = random.Random(7)

    def measure(name: str) -> tuple[str, float, float, float]:
        gpu, span_s = scripts[name]
        windows = []
        for _ in range(bench.n_bound):
            t0_s, length_s = draw.uniform(3, span_s), draw.uniform(0.1, 10)
            windows.append((t0_s, t0_s + length_s))
        measured, answer = bench.windows(gpu, windows, guard=False)
        n_in_bound = n_in_uncertainty = 0
        shares = []
        for m, bound_j, uncertainty_j in zip(
            measured, answer["bounds_j"], answer["uncertainties_j"], strict=True
        ):
            error_j = abs((m.energy_j or 0.0) - m.truth_j)
            n_in_bound += bound_j is not None and error_j <= bound_j
            n_in_uncertainty += uncertainty_j is not None and error_j <= uncertainty_j
            shares.append(100 * (bound_j or 0.0) / m.truth_j)
        n = len(measured)
        return name, 100 * n_in_bound / n, 100 * n_in_uncertainty / n, statistics.median(shares)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(measure, scripts))
    for name, in_bound, in_uncertainty, share in outcomes:
        yield Row(
            f"truth within the bound, {name}, {bench.n_bound} windows of 0.1-10 s", ">= 99.5 %",
            f"{in_bound:.2f} %", "no peer reports one",
            f"median bound {share:.2g} %; truth within the uncertainty {in_uncertainty:.1f} %",
            in_bound >= 99.5,
        )  # fmt: skip
