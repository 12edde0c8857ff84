"""The parts that measure the cost of reading: each call, and a sampler during generation."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

from benchmarks.gpu.check import Check, Row
from benchmarks.gpu.durations import ms, spread, spread_of
from benchmarks.shared.quantiles import median_interval, percentile
from llem_energy._board_check.bench import DENSE_S
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler


def latency(check: Check) -> Iterator[Row]:
    """Measure one reading at idle, by kind of call, and during a generate loop."""
    yield _calls(check)
    backend, batch = check.generating
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
            for durations_s, (a, b) in zip(
                (synchronise_s, again_s, edge_s), pairwise(marks), strict=True
            ):
                durations_s.append(b - a)
    sampler_s = [sample.read_duration_s for sample in samples]
    loop = f"{check.experiment().model} on {'cuda' if check.load else 'cpu'}"
    yield Row(
        f"one reading in the thread of the sampler during a generate loop, {loop}",
        f"{spread(sampler_s)}, {len(sampler_s)} readings",
        f"{100 * percentile(sampler_s, 0.99) / check.period_s:.2g} % of a period at p99",
        spread_of("sampler", sampler_s),
    )
    yield Row(
        "one reading right after generation, at the edge of a window", spread(edge_s),
        "it is outside the window", spread_of("edge", edge_s),
    )  # fmt: skip
    if check.load is not None:
        yield Row(
            "cuda synchronise after generation; a second one, with nothing to wait for",
            f"{spread(synchronise_s)}; {spread(again_s)}",
            "the second is the cost of an edge itself",
            spread_of("synchronise", synchronise_s) | spread_of("synchronise_idle", again_s),
        )


def _calls(check: Check) -> Row:
    import pynvml

    handle = check.handle
    read_fields = functools.partial(pynvml.nvmlDeviceGetFieldValues, handle)
    calls: dict[str, Callable[[], object]] = {
        "total energy": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle),
        "power usage": lambda: pynvml.nvmlDeviceGetPowerUsage(handle),
        "field 83": lambda: read_fields([83]),
        "field 186": lambda: read_fields([186]),
        "our reading": check.source.read,
        "our reading with details": lambda: check.source.read(details=True),
    }
    durations_s: dict[str, list[float]] = {}
    for _ in range(50 if check.quick else 300):
        for name, call in calls.items():
            time.sleep(DENSE_S / 2)  # so that the driver is idle, as for a sampler
            start_s = time.perf_counter()
            with contextlib.suppress(pynvml.NVMLError):
                call()
                durations_s.setdefault(name, []).append(time.perf_counter() - start_s)
    return Row(
        "one call while idle, p50 by kind",
        ", ".join(f"{name} {ms(statistics.median(s))}" for name, s in durations_s.items()),
        "batching pays off if our reading takes less time than its parts",
        {"calls": {name: statistics.median(s) for name, s in durations_s.items()}},
    )


def sampler_cost(check: Check) -> Iterator[Row]:
    """Measure the effect of a sampler on the throughput of a generate loop."""
    backend, batch = check.generating
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
            # The order alternates, so that changes in the speed of the machine affect both equally.
            first = None if turn % 2 else 1 / hz
            rates = {first: rate(first)}
            second = 1 / hz if turn % 2 else None
            rates[second] = rate(second)
            ratios.append(rates[1 / hz] / rates[None])
            alone.append(rates[None])
        middle, low, high = median_interval(ratios)
        yield Row(
            f"tokens/s with a {hz} Hz sampler, {n_pairs} pairs of {turn_s:g} s",
            f"{100 * (middle - 1):+.2f} %, interval {100 * (low - 1):+.2f} to "
            f"{100 * (high - 1):+.2f} %; {statistics.median(alone):.0f} tokens/s without it",
            _effect(middle, low, high),
            {f"{hz} Hz": {"ratio": middle, "low": low, "high": high, "tokens_per_s": alone}},
        )


def _effect(middle: float, low: float, high: float) -> str:
    if abs(middle - 1) < 0.01:
        return "throughput changes by less than 1 %"
    if low <= 1 <= high:
        return "unclear: too few pairs or too much noise"
    return "throughput falls" if middle < 1 else "throughput rises: the machine is not steady"
