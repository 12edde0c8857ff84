"""What metering costs: processor, memory, start, edges, and tokens of a loop beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from fakes.fake_nvml import DEMO, FakeGpu

from benchmarks.energy.bench import OUR_SIDE, Bench, Row, compared
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.meter import Cost, measure_cost
from benchmarks.energy.peers.run import Missing
from benchmarks.shared.quantiles import median_interval


def costs(bench: Bench) -> Iterator[Row]:
    """Processor, memory, start and edges."""

    def ours(period_s: float) -> Cost:
        command = [sys.executable, *OUR_SIDE, "cost"]
        return measure_cost(
            command, {"period_s": period_s}, seconds=bench.seconds,
            env=bench.environment([DEMO]), cwd=bench.folder,
        )  # fmt: skip

    own = ours(0.1)
    one = peer_runs.zeus_cost(bench.peers, n_domains=1, seconds=bench.seconds)
    three = peer_runs.zeus_cost(bench.peers, n_domains=3, seconds=bench.seconds)
    carbon = peer_runs.codecarbon_cost(bench.peers, seconds=bench.seconds)

    def cpu(cost: Cost | Missing) -> float | Missing:
        return cost if isinstance(cost, Missing) else cost.cpu_percent

    what = "sampler at 10 Hz, % of a core, vs"
    yield compared(f"{what} Zeus, 1 domain, 10 Hz", 0.6, own.cpu_percent, cpu(one), "%")
    yield compared(f"{what} Zeus, 3 domains, 10 Hz", 0.25, own.cpu_percent, cpu(three), "%")
    yield compared(f"{what} CodeCarbon, 1 Hz", 1.3, own.cpu_percent, cpu(carbon), "%")
    yield compared(
        "memory of helper processes vs Zeus, 1 domain", 0.05, own.helper_bytes / 2**20,
        one if isinstance(one, Missing) else one.helper_bytes / 2**20, "MiB",
    )  # fmt: skip
    for name, cost, goal in (("Zeus PowerMonitor", one, 0.01), ("CodeCarbon", carbon, 0.05)):
        started = cost if isinstance(cost, Missing) else 1e3 * cost.started_s
        yield compared(
            f"start, calibration apart, vs {name}", goal, 1e3 * own.started_s, started, "ms"
        )
    edges = bench.ask("latency", [FakeGpu(latency_us=200)], {"n": 2000})
    zeus = peer_runs.zeus_edges(bench.peers)
    yield compared(
        "edge at 200 us a call, vs one bare read", 1.2, 1e6 * edges["begin_s"],
        1e6 * edges["bare_s"], "us",
    )  # fmt: skip
    yield compared(
        "edge at 200 us a call, vs ZeusMonitor begin", 1.1, 1e6 * edges["begin_s"],
        zeus if isinstance(zeus, Missing) else 1e6 * zeus.begin_s, "us",
    )  # fmt: skip


def throughput(bench: Bench) -> Iterator[Row]:
    """What a 10 Hz sampler does to a generate loop that keeps the processor busy."""
    # Of a machine that other guests share, the speed changes by a sixth from one turn to the next,
    # however long they are: only many of them tell one per cent.
    request = {"period_s": 0.1, "turn_s": 0.1, "n_turns": bench.n_turns}
    pairs = bench.ask("throughput", [DEMO], request)["pairs"]
    for i, by in enumerate(("the clock", "processor time")):
        ratios = [sampled[i] / alone[i] for sampled, alone in pairs]
        middle, low, high = median_interval(ratios)
        yield Row(
            f"tokens/s of a CPU-bound generate loop beside a 10 Hz sampler, {len(ratios)} pairs, "
            f"by {by}", "changes < 1 %", f"{100 * (middle - 1):+.2f} %", "without it",
            f"95 % interval {100 * (low - 1):+.2f} to {100 * (high - 1):+.2f} %",
            _told(low, high),
        )  # fmt: skip


def _told(low: float, high: float) -> bool | None:
    """Return whether an interval of a ratio lies within 1 % of 1; None where it cannot be told."""
    if abs(low - 1) < 0.01 and abs(high - 1) < 0.01:
        return True
    return None if low < 1.01 and high > 0.99 else False
