"""The cost of metering: CPU time, memory, start, window edges, and throughput of a loop."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from fakes.fake_nvml import DEMO, FakeGpu

from benchmarks.energy.bench import OUR_SIDE, Bench, Row, compared
from benchmarks.energy.peers import run as peer_runs
from benchmarks.energy.peers.meter import Cost, measure_cost
from benchmarks.energy.peers.run import Missing
from benchmarks.shared.quantiles import median_interval

_ROUNDS = 5  # in turn: the speed of a shared machine changes within minutes


def costs(bench: Bench) -> Iterator[Row]:
    """Return CPU time, memory, start and edges, compared with the peers."""
    seconds = bench.seconds / _ROUNDS
    rounds = [_measured(bench, seconds) for _ in range(_ROUNDS)]
    ours, zeus_1, zeus_3, carbon = map(_median, zip(*rounds, strict=True))
    assert not isinstance(ours, Missing)

    def cpu(cost: Cost | Missing) -> float | Missing:
        return cost if isinstance(cost, Missing) else cost.cpu_percent

    what = "sampler at 10 Hz, % of a core, vs"
    yield compared(f"{what} Zeus, 1 domain, 10 Hz", 0.6, ours.cpu_percent, cpu(zeus_1), "%")
    yield compared(f"{what} Zeus, 3 domains, 10 Hz", 0.25, ours.cpu_percent, cpu(zeus_3), "%")
    yield compared(f"{what} CodeCarbon, 1 Hz", 1.3, ours.cpu_percent, cpu(carbon), "%")
    yield compared(
        "memory of helper processes vs Zeus, 1 domain", 0.05, ours.helper_bytes / 2**20,
        zeus_1 if isinstance(zeus_1, Missing) else zeus_1.helper_bytes / 2**20, "MiB",
    )  # fmt: skip
    for name, cost, goal in (("Zeus PowerMonitor", zeus_1, 0.01), ("CodeCarbon", carbon, 0.05)):
        started = cost if isinstance(cost, Missing) else 1e3 * cost.started_s
        yield compared(
            f"start without calibration, vs {name}", goal, 1e3 * ours.started_s, started, "ms"
        )
    edges = bench.run_our_side("latency", [FakeGpu(latency_us=200)], {"n": 2000})
    zeus = peer_runs.zeus_edges(bench.peers)
    yield compared(
        "window edge at 200 us per call, vs one bare read", 1.2, 1e6 * edges["begin_s"],
        1e6 * edges["bare_s"], "us",
    )  # fmt: skip
    yield compared(
        "window edge at 200 us per call, vs ZeusMonitor begin", 1.1, 1e6 * edges["begin_s"],
        zeus if isinstance(zeus, Missing) else 1e6 * zeus.begin_s, "us",
    )  # fmt: skip


def _measured(bench: Bench, seconds: float) -> tuple[Cost | Missing, ...]:
    """Return the costs of our sampler and of the peers, one after the other."""
    ours = measure_cost(
        [sys.executable, *OUR_SIDE, "cost"], {"period_s": 0.1}, seconds=seconds,
        env=bench.environment([DEMO]), cwd=bench.folder,
    )  # fmt: skip
    return (
        ours,
        peer_runs.zeus_cost(bench.peers, n_domains=1, seconds=seconds),
        peer_runs.zeus_cost(bench.peers, n_domains=3, seconds=seconds),
        peer_runs.codecarbon_cost(bench.peers, seconds=seconds),
    )


def _median(costs: Sequence[Cost | Missing]) -> Cost | Missing:
    """Return the cost with the median CPU time, or why there is none."""
    missing = next((cost for cost in costs if isinstance(cost, Missing)), None)
    measured = [cost for cost in costs if not isinstance(cost, Missing)]
    return missing or sorted(measured, key=lambda cost: cost.cpu_percent)[len(measured) // 2]


def throughput(bench: Bench) -> Iterator[Row]:
    """Return the effect of a 10 Hz sampler on the throughput of a CPU-bound generate loop."""
    # The speed of a shared machine varies by a sixth between two turns of any length; only many
    # turns can resolve one percent.
    request = {"period_s": 0.1, "turn_s": 0.1, "n_turns": bench.n_turns}
    pairs = bench.run_our_side("throughput", [DEMO], request)["pairs"]
    for i, clock in enumerate(("wall-clock time", "CPU time")):
        ratios = [sampled[i] / alone[i] for sampled, alone in pairs]
        middle, low, high = median_interval(ratios)
        yield Row(
            f"tokens/s of a CPU-bound generate loop with a 10 Hz sampler, {len(ratios)} pairs, "
            f"by {clock}", "change < 1 %", f"{100 * (middle - 1):+.2f} %", "without sampler",
            f"95 % interval {100 * (low - 1):+.2f} to {100 * (high - 1):+.2f} %",
            _is_below_1_percent(low, high),
        )  # fmt: skip


def _is_below_1_percent(low: float, high: float) -> bool | None:
    """Return whether an interval of a ratio is within 1 % of 1; None if it is only partly so."""
    if abs(low - 1) < 0.01 and abs(high - 1) < 0.01:
        return True
    return None if low < 1.01 and high > 0.99 else False
