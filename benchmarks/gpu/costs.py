"""The parts that tell what reading costs: each call, and a sampler beside a generate loop."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

from benchmarks.gpu.check import DENSE_S, Check, Row
from benchmarks.gpu.durations import ms, spread, spread_of
from benchmarks.shared.quantiles import median_interval, percentile
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler


def latency(check: Check) -> Iterator[Row]:
    """What one reading takes alone, by kind of call, and beside a generate loop."""
    yield _calls(check)
    backend, batch = check.answering
    synchronise_s: list[float] = []
    again_s: list[float] = []
    edge_s: list[float] = []
    with check.recording(0.02) as samples:
        end_s = time.perf_counter() + (1.0 if check.quick else 10.0)
        while time.perf_counter() < end_s:
            backend.generate(batch)
            marks = [time.perf_counter()]
            for action in (backend.synchronise, backend.synchronise, check.source.read):
                action()
                marks.append(time.perf_counter())
            for taken, (a, b) in zip(
                (synchronise_s, again_s, edge_s), pairwise(marks), strict=True
            ):
                taken.append(b - a)
    beside_s = [sample.read_duration_s for sample in samples]
    loop = f"{check.experiment().model} on {'cuda' if check.load else 'cpu'}"
    yield Row(
        f"one reading in the sampler's thread beside a generate loop, {loop}",
        f"{spread(beside_s)}, {len(beside_s)} readings",
        f"{100 * percentile(beside_s, 0.99) / check.period_s:.2g} % of a period at p99",
        spread_of("beside", beside_s),
    )
    yield Row(
        "one reading right after an answer, at the edge of a window", spread(edge_s),
        "it lies outside the window", spread_of("edge", edge_s),
    )  # fmt: skip
    if check.load is not None:
        yield Row(
            "cuda synchronise after an answer; again, with nothing to wait for",
            f"{spread(synchronise_s)}; {spread(again_s)}",
            "the second is what an edge costs in itself",
            spread_of("synchronise", synchronise_s) | spread_of("synchronise_idle", again_s),
        )


def _calls(check: Check) -> Row:
    import pynvml

    handle = check.handle
    ask = functools.partial(pynvml.nvmlDeviceGetFieldValues, handle)
    calls: dict[str, Callable[[], object]] = {
        "total energy": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle),
        "power usage": lambda: pynvml.nvmlDeviceGetPowerUsage(handle),
        "field 83": lambda: ask([83]),
        "field 186": lambda: ask([186]),
        "our reading": check.source.read,
        "our reading with details": lambda: check.source.read(details=True),
    }
    taken: dict[str, list[float]] = {}
    for _ in range(50 if check.quick else 300):
        for name, call in calls.items():
            time.sleep(DENSE_S / 2)  # as a sampler finds the driver: not in the middle of work
            start_s = time.perf_counter()
            with contextlib.suppress(pynvml.NVMLError):
                call()
                taken.setdefault(name, []).append(time.perf_counter() - start_s)
    return Row(
        "one call while idle, p50 by kind",
        ", ".join(f"{name} {ms(statistics.median(s))}" for name, s in taken.items()),
        "batching pays where our reading is less than its parts",
        {"calls": {name: statistics.median(s) for name, s in taken.items()}},
    )


def sampler_cost(check: Check) -> Iterator[Row]:
    """What a sampler does to the throughput of a generate loop."""
    backend, batch = check.answering
    n_tokens = sum(backend.generate(batch).n_tokens())
    turn_s, n_pairs = 2.0, 8
    if check.quick:
        turn_s, n_pairs = (0.15, 3) if check.load is None else (0.5, 5)

    def rate(period_s: float | None) -> float:
        source = None if period_s is None else check.source
        with Sampler(source, period_s or 1.0, Recorder(None)):
            start_s, n = time.perf_counter(), 0
            while time.perf_counter() - start_s < turn_s:
                backend.generate(batch)
                backend.synchronise()
                n += 1
            return n * n_tokens / (time.perf_counter() - start_s)

    for hz in (20, 10):
        ratios, alone = [], []
        for turn in range(n_pairs):
            # The order alternates, so that the machine's own ups and downs fall on both alike.
            first = None if turn % 2 else 1 / hz
            rates = {first: rate(first)}
            other = 1 / hz if turn % 2 else None
            rates[other] = rate(other)
            ratios.append(rates[1 / hz] / rates[None])
            alone.append(rates[None])
        middle, low, high = median_interval(ratios)
        yield Row(
            f"tokens/s beside a {hz} Hz sampler, {n_pairs} pairs of {turn_s:g} s",
            f"{100 * (middle - 1):+.2f} %, interval {100 * (low - 1):+.2f} to "
            f"{100 * (high - 1):+.2f} %; {statistics.median(alone):.0f} tokens/s without",
            _changes_throughput(middle, low, high),
            {f"{hz} Hz": {"ratio": middle, "low": low, "high": high, "tokens_per_s": alone}},
        )


def _changes_throughput(middle: float, low: float, high: float) -> str:
    if abs(middle - 1) < 0.01:
        return "it changes throughput by less than 1 %"
    if low <= 1 <= high:
        return "too few or too noisy pairs to tell"
    return "it costs throughput" if middle < 1 else "throughput rose: the machine is not steady"
