"""Settles on the GPU at hand what no document tells about its energy meter.

    uv run python benchmarks/gpu_check.py [PART ...] [--gpu INDEX] [--quick] [--json FILE]

Loads the GPU with matrix products and with a model's answers, reads the driver meanwhile, and
prints one table: what was looked at, what was seen, what it means for our figures. Nothing is
asserted, and a part that fails says why in its row. All parts take about nine minutes, two with
`--quick`. It needs torch with CUDA; `--no-load` does what needs a driver only, so that it also runs
on the scripted one of `tests/fakes`. What it measures with is the code of a measurement.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import os
import platform
import random
import statistics
import tempfile
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from llem_config import ExecutionConfig, ExperimentConfig, Settings, StudyConfig
from llem_energy import Calibration, GpuError, MeasurementError, calibrate
from llem_energy._backend import Backend, Batch, find_backend
from llem_energy._calibration import edge_bound_shares
from llem_energy._counter import Reading, find_updates
from llem_energy._datasets import load_prompts
from llem_energy._environment import installed_version, snapshot_environment
from llem_energy._meter import EnergyFigures, energy_figures
from llem_energy._nvml import Gpu, driver, find_gpus
from llem_energy._nvml_source import NvmlSource
from llem_energy._power import integrated_energy
from llem_energy._recorder import Recorder
from llem_energy._sampler import Sampler
from llem_energy._source import Sample
from llem_energy._window import MeasuredSpan, Windows
from llem_runner import read_result, run_study

Point = tuple[float, float]  # when a value was first seen, and the value
Piece = tuple[float, float, float]  # from, to, mean watts in between
Burst = tuple[float, float]  # when a load began and ended

_TICK_S, _DENSE_S = 0.05, 0.001  # between samples: of a measurement, and as often as makes sense
_PRODUCT_S = 0.003  # of one matrix product at least: so few are queued that the driver never waits
_LARGEST = 16384  # rows of a matrix
_REACHED, _WITHIN = 0.9, 0.05  # of a step; of idle power
_STILL_S = 0.3  # how long power has to stay near idle to have come there
_SENSOR_WINDOW_S = 0.025  # of instant power on Hopper and GA100 (GPU_Power_Benchmark data)
_DELAYS = [k / 20 for k in range(-4, 31)]  # in periods
_LAGS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)  # likewise
_TOLERANCE = 0.25  # of a period: a smaller delay or lag is not told apart from none


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, and the same as numbers."""

    what: str
    seen: str
    means: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


class Load:
    """Products of large matrices: as much power as the GPU draws, for as long as is asked for."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        size = 2048
        while True:
            self._factors = [torch.randn(size, size, device="cuda", dtype=kind) for _ in range(2)]
            self._product = torch.empty_like(self._factors[0])
            self.what = f"{str(kind).removeprefix('torch.')} products of {size} x {size} matrices"
            self._multiply(3)
            start_s = time.perf_counter()
            self._multiply(20)
            self._product_s = (time.perf_counter() - start_s) / 20
            if self._product_s >= _PRODUCT_S or size >= _LARGEST:
                return
            size *= 2

    def _multiply(self, n: int) -> None:
        for _ in range(n):
            self._torch.mm(*self._factors, out=self._product)
        self.synchronise()

    def synchronise(self) -> None:
        """Return when the GPU has finished."""
        self._torch.cuda.synchronize()

    def run(self, seconds: float) -> None:
        """Work for about so long, and return when the GPU has finished."""
        self._multiply(max(1, round(seconds / self._product_s)))

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Work in a thread while the context lasts, from a second before it."""
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                self.run(0.2)

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            try:
                time.sleep(1.0)
                yield
            finally:
                stop.set()
            working.result()


class Check:
    """The GPU that is looked at, and how thoroughly."""

    def __init__(self, source: NvmlSource, load: Load | None, *, quick: bool) -> None:
        self.source = source
        self.load = load
        self.quick = quick
        (self.uuid,) = source.devices

    @property
    def loaded(self) -> Load:
        """Return the load of a part that is not run without one."""
        assert self.load is not None
        return self.load

    @functools.cached_property
    def calibration(self) -> Calibration:
        """Watch the counter once, while the GPU idles."""
        return calibrate(self.source)[0]

    @property
    def period_s(self) -> float:
        """Return the counter's period; where it was not seen, what is commonest."""
        return self.calibration.counter_period_s or 0.1

    @property
    def handle(self) -> Any:
        """Return NVML's own handle, for what our source does not ask."""
        import pynvml

        return pynvml.nvmlDeviceGetHandleByUUID(self.uuid)

    def experiment(self, **changes: Any) -> ExperimentConfig:
        """Return the experiment whose generate loop is measured."""
        n, n_tokens = (2, 16) if self.load is None else (8, 32)
        given = {
            "model": "builtin:tiny-llama" if self.load is None or self.quick else "builtin:llama-1b",
            "precision": "fp32" if self.load is None else "bf16",
            "n": n, "max_input_tokens": 2 * n_tokens, "max_output_tokens": n_tokens,
            "pytorch": {"device": "cpu" if self.load is None else "cuda", "batch_size": n},
        }  # fmt: skip
        return ExperimentConfig.model_validate(given | changes)

    @functools.cached_property
    def answering(self) -> tuple[Backend, Batch]:
        """Load the experiment's model, once for all parts that answer in this process."""
        config = self.experiment()
        backend = find_backend(config)
        backend.open()
        backend.load()
        (batch,) = backend.prepare(load_prompts(config, backend.vocabulary())).batches
        for _ in range(3):
            backend.generate(batch)
        backend.synchronise()
        return backend, batch

    @contextlib.contextmanager
    def recording(self, period_s: float) -> Iterator[list[Sample]]:
        """Sample while the context lasts; the list is filled when it ends."""
        found: list[Sample] = []
        recorder = Recorder(None)
        with Sampler(self.source, period_s, recorder):
            yield found
        recorder.close()
        found += recorder.between(-math.inf, math.inf)
        recorder.discard()

    def window(
        self, work: Callable[[], None], seconds: float
    ) -> tuple[EnergyFigures, MeasuredSpan]:
        """Measure work in a window, as a measurement does."""
        recorder = Recorder(None)
        synchronise = self.load.synchronise if self.load else lambda: None
        with Sampler(self.source, _TICK_S, recorder) as sampler:
            windows = Windows(sampler, synchronise, [self.calibration], self.source.devices)
            span = windows.measure(work, seconds)
        recorder.close()
        samples = recorder.between(-math.inf, math.inf)
        recorder.discard()
        return energy_figures(self.source, samples, span, [self.calibration]), span


# What is found out from readings, apart from any hardware.


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and its 95 % interval by the sign test, for any distribution."""
    ordered = sorted(values)
    middle, spread = len(ordered) // 2, round(0.98 * len(ordered) ** 0.5)
    low, high = max(0, middle - spread), min(len(ordered) - 1, middle + spread)
    return statistics.median(ordered), ordered[low], ordered[high]


def changes(samples: Sequence[Sample], value: Callable[[Sample], float | None]) -> list[Point]:
    """Return when one value of a device changed, and to what."""
    readings = [
        Reading(s.t_s - s.bracket_s / 2, s.t_s + s.bracket_s / 2, found)
        for s in samples
        if (found := value(s)) is not None
    ]
    return [(update.middle_s, update.energy_j) for update in find_updates(readings)]


def counter_pieces(updates: Sequence[Point]) -> list[Piece]:
    """Return the mean power between each two updates of a counter."""
    return [(a, b, (e1 - e0) / (b - a)) for (a, e0), (b, e1) in pairwise(updates) if b > a]


def power_pieces(updates: Sequence[Point]) -> list[Piece]:
    """Return each reading of power as the mean over the sensor's window before it."""
    return [(t_s - _SENSOR_WINDOW_S, t_s, watts) for t_s, watts in updates]


class Wave:
    """A load of height 1 or 0 as it looks through a first-order lag."""

    def __init__(self, bursts: Sequence[Burst], lag_s: float) -> None:
        self._lag_s = lag_s
        self._times_s = [edge for burst in bursts for edge in burst]
        self._marks = [(0.0, 0.0)]  # area of the load, and height through the lag, at each edge
        for i, (a, b) in enumerate(pairwise(self._times_s)):
            area, height = self._marks[-1]
            load = 1.0 - i % 2
            self._marks.append((area + load * (b - a), self._later(height, load, b - a)))

    def _later(self, height: float, load: float, seconds: float) -> float:
        if not self._lag_s:
            return load
        return load + (height - load) * math.exp(-seconds / self._lag_s)

    def area(self, t_s: float) -> float:
        """Return the area under it up to an instant."""
        i = bisect_right(self._times_s, t_s) - 1
        if i < 0:
            return 0.0
        area, height = self._marks[i]
        load, seconds = 1.0 - i % 2, t_s - self._times_s[i]
        # Through a lag, lag * y' = x - y: the area is the load's own less what is still to come.
        return area + load * seconds - self._lag_s * self._later(height, load, seconds)


class Fit(msgspec.Struct, frozen=True):
    """A square wave as a sensor shows it: late by a delay, and smeared by a lag."""

    delay_s: float
    lag_s: float
    off_w: float
    on_w: float
    explained: float
    """Share of the variance of power."""

    @property
    def swing_w(self) -> float:
        """Return how much more the load draws."""
        return self.on_w - self.off_w


def exact(counter: Fit, power: Fit | None, period_s: float) -> str:
    """Return what the response of a counter means for our estimators.

    Power itself takes time to rise and fall, which both meters show: only a lag that the sensor of
    power does not have is the counter's own.
    """
    if counter.explained < _REACHED:
        return "unclear: the load does not explain what the counter showed"
    power_lag_s = power.lag_s if power is not None else 0.0
    if counter.lag_s - power_lag_s > _TOLERANCE * period_s:
        return (
            f"filtered, by a lag of about {_ms(counter.lag_s)}: interpolation loses its gain, and "
            "a guard must be several lags long"
        )
    if counter.delay_s > _TOLERANCE * period_s:
        return (
            f"exact, but late by {_ms(counter.delay_s)}: an interpolated edge is off by "
            f"{counter.delay_s * counter.swing_w:.2g} J, a quiet edge is not"
        )
    return "exact at its updates: interpolation and quiet edge keep their gain"


def fit(pieces: Sequence[Piece], bursts: Sequence[Burst], period_s: float) -> Fit:
    """Return the delay and the lag with which a load explains what a sensor showed best.

    Args:
        pieces: of power, more than two, in bursts and between them.
        bursts: in time order.
        period_s: of the sensor; delay and lag are looked for in parts and multiples of it.

    Raises:
        ValueError: too little was seen.
    """
    inside = [p for p in pieces if bursts[0][0] <= p[0] and p[1] <= bursts[-1][1]]
    powers = [watts for _, _, watts in inside]
    if len(powers) < 3 or min(powers) == max(powers):
        raise ValueError(f"{len(powers)} updates of the sensor say nothing of its response")
    best = Fit(0.0, 0.0, 0.0, 0.0, -1.0)
    for lag_s in (lag * period_s for lag in _LAGS):
        wave = Wave(bursts, lag_s)
        for delay_s in (delay * period_s for delay in _DELAYS):
            shares = [
                (wave.area(b - delay_s) - wave.area(a - delay_s)) / (b - a) for a, b, _ in inside
            ]
            if min(shares) == max(shares):
                continue
            alike = statistics.correlation(shares, powers)
            if alike > 0 and alike**2 > best.explained:
                slope, off_w = statistics.linear_regression(shares, powers)
                best = Fit(delay_s, lag_s, off_w, off_w + slope, alike**2)
    return best


def updates_per_step(pieces: Sequence[Piece], bursts: Sequence[Burst]) -> list[int]:
    """Return in which update after each beginning of a load power had come 90 % of the way.

    From what the update before showed to what the last one of the burst shows. Of a sensor that is
    exact at its updates no step takes more than two: one update that saw both, and one after.
    """
    found = []
    for on_s, off_s in bursts:
        before = [watts for _, end_s, watts in pieces if end_s <= on_s]
        after = [watts for _, end_s, watts in pieces if on_s < end_s <= off_s]
        if not before or len(after) < 3 or after[-1] <= before[-1]:
            continue
        enough_w = before[-1] + _REACHED * (after[-1] - before[-1])
        found.append(1 + next(i for i, watts in enumerate(after) if watts >= enough_w))
    return found


def settled_s(points: Sequence[Point], since_s: float, level_w: float) -> float | None:
    """Return how long after an instant power came within 5 % of a level, to stay for a while."""
    came_s = None
    for t_s, watts in points:
        if t_s < since_s or watts > (1 + _WITHIN) * level_w:
            came_s = None
            continue
        came_s = t_s if came_s is None else came_s
        if t_s - came_s >= _STILL_S:
            return came_s - since_s
    return None


class StampsSeen(msgspec.Struct, frozen=True):
    """How the driver's stamps of one field moved over many reads."""

    follows: str
    """`the query`, `the sensor`, `neither`, or `nothing` where they stand still."""
    moved_share: float
    """Of reads that showed the same value as the one before, those with another stamp."""
    step_s: float | None
    """Median time between two stamps."""
    value_period_s: float | None
    """Median time between two changes of the value."""


def follow(reads: Sequence[tuple[float, int, int]]) -> StampsSeen:
    """Return what the stamps of a field follow.

    Args:
        reads: when it was read in seconds, its stamp in microseconds, and its value.
    """
    same = [(a, b) for a, b in pairwise(reads) if a[2] == b[2]]
    moved = sum(a[1] != b[1] for a, b in same) / len(same) if same else 1.0
    stamps = sorted({stamp for _, stamp, _ in reads})
    steps_s = [1e-6 * (b - a) for a, b in pairwise(stamps)]
    times_s = [b[0] for a, b in pairwise(reads) if a[2] != b[2]]
    follows = "the query" if moved > 0.9 else "the sensor" if moved < 0.1 else "neither"
    return StampsSeen(
        follows if steps_s else "nothing",
        moved,
        statistics.median(steps_s) if steps_s else None,
        statistics.median(b - a for a, b in pairwise(times_s)) if len(times_s) > 1 else None,
    )


def _ms(seconds: float | None) -> str:
    return "not seen" if seconds is None else f"{1e3 * seconds:.3g} ms"


def _spread(seconds: Sequence[float]) -> str:
    return f"p50 {_ms(percentile(seconds, 0.5))}, p99 {_ms(percentile(seconds, 0.99))}"


def _spread_of(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}_p50_s": percentile(seconds, 0.5), f"{name}_p99_s": percentile(seconds, 0.99)}


# The parts, in the order of the table.


def environment(check: Check) -> Iterator[Row]:
    """What the machine is and how it is set."""
    machine = snapshot_environment()
    gpu = Gpu(check.uuid)
    state = gpu.snapshot(os.getpid())
    others = gpu.other_pids(os.getpid())
    versions = machine.packages | {"zeus": installed_version("zeus")}
    yield Row(
        "GPU",
        f"{state.name}, driver {machine.driver}, CUDA {machine.cuda_driver}, VBIOS {state.vbios}",
        f"virtualization: {state.virtualization or 'not told'}",
        {"gpu": msgspec.to_builtins(state), "driver": machine.driver, "nvml": machine.nvml},
    )
    same = state.power_limit_w == state.power_limit_default_w
    yield Row(
        "power limit, SM clock at most, application clock",
        f"{state.power_limit_w} W (default {state.power_limit_default_w} W), "
        f"{state.sm_clock_max_mhz} MHz, {state.application_sm_clock_mhz} MHz",
        "as delivered" if same else "changed: say so beside every figure",
    )
    on = {True: "on", False: "off", None: "not told"}
    yield Row(
        "persistence, MIG, ECC",
        f"{on[state.persistence_mode]}, {on[state.mig]}, {on[state.ecc]}",
        "the driver may be reloaded, which resets the counter"
        if state.persistence_mode is False
        else "",
    )
    yield Row(
        "other processes on the GPU",
        "not told" if others is None else f"{len(others)}",
        "their energy is in every figure below" if others else "",
        {"other_pids": others},
    )
    fields = gpu.supported_fields()
    module = "has" if gpu.has_module_power() else "no"
    yield Row(
        "fields that answer, of 74 75 83 185 186 191",
        f"{' '.join(map(str, fields))}; {module} power of a module",
        "" if 83 in fields else f"no counter: {gpu.counter_problem()}",
        {"fields": fields},
    )
    known = {name: version for name, version in versions.items() if version}
    shown = ("torch", "transformers", "nvidia-ml-py", "llem-energy", "zeus")
    yield Row(
        "versions",
        f"Python {machine.python}; "
        + ", ".join(f"{name} {known.get(name, 'not here')}" for name in shown),
        f"load: {check.load.what}" if check.load else "without load",
        {"versions": known},
    )


def calibration(check: Check) -> Iterator[Row]:
    """Periods, jitter and duration of calls, idle and under load."""
    yield from _calibrated("idle", check.calibration)
    if check.load is not None:
        with check.load.busy():
            found = calibrate(check.source, at_least_s=2.0)[0]
        yield from _calibrated("under load", found)


def _calibrated(when: str, found: Calibration) -> Iterator[Row]:
    period_s, jitter_s = found.counter_period_s, found.counter_jitter_s
    step = "" if found.counter_step_j is None else f", step {found.counter_step_j:.3g} J"
    means = "no counter: power is integrated, without a bound"
    if period_s is not None:
        typical, worst = edge_bound_shares(period_s, 10.0)
        means = f"bound of a 10 s window: {100 * typical:.2g} % typical, {100 * worst:.2g} % at p95"
    yield Row(
        f"energy counter, {when}",
        f"every {_ms(period_s)}, jitter {_ms(jitter_s)}{step}, {found.n_updates} updates",
        means,
        {f"{when}": msgspec.to_builtins(found)},
    )
    yield Row(
        f"instant power, {when}",
        f"every {_ms(found.power_period_s)}",
        "" if found.power_period_s else "it did not change",
    )
    share = "" if period_s is None else f"{100 * found.call_p99_s / period_s:.2g} % of a period"
    yield Row(
        f"one reading at 1 kHz, {when}",
        f"p50 {_ms(found.call_p50_s)}, p99 {_ms(found.call_p99_s)}",
        share and f"{share}, at p99, is what an edge is blurred by",
    )


def stamps(check: Check) -> Iterator[Row]:
    """What the driver's own stamps of field values follow."""
    import pynvml

    fields = {83: "energy counter", 186: "instant power", 185: "average power"}
    handle, reads = check.handle, []
    with check.load.busy() if check.load else contextlib.nullcontext():
        end_s = time.perf_counter() + (1.0 if check.quick else 5.0)
        while time.perf_counter() < end_s:
            before_s = time.time()
            values = pynvml.nvmlDeviceGetFieldValues(handle, list(fields))
            reads.append((before_s, time.time(), values))
            time.sleep(_DENSE_S)
    for i, (number, name) in enumerate(fields.items()):
        good = [(a, b, v[i]) for a, b, v in reads if v[i].nvmlReturn == pynvml.NVML_SUCCESS]
        if len(good) < 2:
            yield Row(f"stamps of field {number}, {name}", "the field does not answer")
            continue
        seen = follow([(b, v.timestamp, v.value.ullVal) for _, b, v in good])
        age_s = statistics.median((a + b) / 2 - 1e-6 * v.timestamp for a, b, v in good)
        took_s = statistics.median(1e-6 * v.latencyUsec for _, _, v in good)
        moves = "stand still" if seen.step_s is None else f"move every {_ms(seen.step_s)}"
        yield Row(
            f"stamps of field {number}, {name}",
            f"follow {seen.follows}: {moves}, the value every {_ms(seen.value_period_s)}; "
            f"{_ms(age_s)} old when read; latency by the driver {_ms(took_s)}",
            {
                "the query": "they tell when it was asked, not how old the value is",
                "the sensor": "they tell when the value was true: better than our brackets",
                "neither": "they tell when the driver refreshed its copy",
                "nothing": "they say nothing",
            }[seen.follows],
            {f"{number}": msgspec.to_builtins(seen) | {"age_s": age_s, "latency_s": took_s}},
        )


def exactness(check: Check) -> Iterator[Row]:
    """Whether a step of the load shows in the counter within one update, or smeared."""
    load, period_s = check.loaded, check.period_s
    on_s = max(0.4, 4 * period_s)
    n_bursts = max(8, round((8.0 if check.quick else 20.0) / (2 * on_s + period_s / 2)))
    bursts: list[Burst] = []
    with check.recording(_DENSE_S) as samples:
        time.sleep(1.0)
        for i in range(n_bursts):
            start_s = time.perf_counter()
            load.run(on_s)
            bursts.append((start_s, time.perf_counter()))
            # Pauses of every length up to a period, so that edges fall at every phase of the meter.
            time.sleep(on_s + period_s * (0.618 * i % 1))
        time.sleep(4 * period_s)
    counter = counter_pieces(changes(samples, lambda s: s.energy_j))
    power = power_pieces(changes(samples, lambda s: s.power_w))
    meters = {
        "instant power": (power, check.calibration.power_period_s or period_s),
        "energy counter": (counter, period_s),
    }
    fits: dict[str, Fit] = {}
    for name, (pieces, unit_s) in meters.items():
        what = f"{n_bursts} steps of {on_s:.2g} s in {name}"
        if not pieces:
            yield Row(what, "it cannot be read")
            continue
        fits[name] = found = fit(pieces, bursts, unit_s)
        steps = updates_per_step(pieces, bursts)
        taken = "no clear step"
        if steps:
            taken = f"90 % after {statistics.median(steps):g} updates, at most {max(steps)}"
        yield Row(
            what,
            f"{taken}; fit: delay {_ms(found.delay_s)}, lag {_ms(found.lag_s)}, "
            f"{found.off_w:.0f} to {found.on_w:.0f} W, explains {100 * found.explained:.1f} %",
            exact(found, fits.get("instant power"), period_s) if name == "energy counter" else "",
            {name: msgspec.to_builtins(found) | {"updates_per_step": steps}},
        )
    if len(fits) == len(meters):
        swing = fits["energy counter"].swing_w / fits["instant power"].swing_w
        yield Row(
            "swing of the counter's power over that of instant power",
            f"{swing:.3f}",
            "1: neither is damped, and both have the same gain",
            {"swing": swing},
        )


def agreement(check: Check) -> Iterator[Row]:
    """The counter beside the integral of instant power, idle and under constant load."""
    yield _agreed("idle", check, lambda: time.sleep(0.5), 2.5 if check.quick else 20.0)
    if check.load is not None:
        load = check.load
        seconds = 10.0 if check.quick else 60.0
        load.run(2.0)  # clocks and temperature have made their first jump
        yield _agreed("constant load", check, lambda: load.run(1.0), seconds)


def _agreed(what: str, check: Check, work: Callable[[], None], seconds: float) -> Row:
    found, span = check.window(work, seconds)
    length_s = span.end_s - span.start_s
    powers = [None if j is None else j / length_s for j in (found.counter_j, found.integrated_j)]
    shown = " and ".join("missing" if power is None else f"{power:.1f} W" for power in powers)
    apart = "" if found.disagreement is None else f", {100 * found.disagreement:+.2f} %"
    bound = None if not found.bound_j or not found.total_j else found.bound_j / found.total_j
    return Row(
        f"counter and integrated power, {what}, {length_s:.1f} s",
        f"{shown}{apart}; bound {'none' if bound is None else f'{100 * bound:.2g} %'}; "
        f"{found.method}",
        "; ".join(found.total.reasons) or _apart(found.disagreement),
        {
            what: {
                "seconds": length_s, "counter_w": powers[0], "integrated_w": powers[1],
                "disagreement": found.disagreement, "bound_share": bound,
                "status": found.total.status, "reasons": found.total.reasons,
            }
        },
    )  # fmt: skip


def _apart(disagreement: float | None) -> str:
    if disagreement is None:
        return "nothing to compare"
    return f"they are {'less' if abs(disagreement) < 0.05 else 'more'} than 5 % apart"


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
    beside_s = [sample.bracket_s for sample in samples]
    loop = f"{check.experiment().model} on {'cuda' if check.load else 'cpu'}"
    yield Row(
        f"one reading in the sampler's thread beside a generate loop, {loop}",
        f"{_spread(beside_s)}, {len(beside_s)} readings",
        f"{100 * percentile(beside_s, 0.99) / check.period_s:.2g} % of a period at p99",
        _spread_of("beside", beside_s),
    )
    yield Row(
        "one reading right after an answer, at the edge of a window", _spread(edge_s),
        "it lies outside the window", _spread_of("edge", edge_s),
    )  # fmt: skip
    if check.load is not None:
        yield Row(
            "cuda synchronise after an answer; again, with nothing to wait for",
            f"{_spread(synchronise_s)}; {_spread(again_s)}",
            "the second is what an edge costs in itself",
            _spread_of("synchronise", synchronise_s) | _spread_of("synchronise_idle", again_s),
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
            time.sleep(_DENSE_S / 2)  # as a sampler finds the driver: not in the middle of work
            start_s = time.perf_counter()
            with contextlib.suppress(pynvml.NVMLError):
                call()
                taken.setdefault(name, []).append(time.perf_counter() - start_s)
    return Row(
        "one call while idle, p50 by kind",
        ", ".join(f"{name} {_ms(statistics.median(s))}" for name, s in taken.items()),
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


def tail(check: Check) -> Iterator[Row]:
    """How long power takes to fall after the last kernel, and what that adds up to."""
    watch_s = 4.0 if check.quick else 10.0
    tails = [_tail(check, watch_s) for _ in range(1 if check.quick else 2)]
    for name in ("instant power", "energy counter"):
        after = [one[name] for one in tails]
        shown = ", ".join(f"not in {watch_s:g} s" if s is None else _ms(s) for s in after)
        yield Row(
            f"{name} within {100 * _WITHIN:.0f} % of idle after the last kernel", shown,
            "the idle power of a guard is measured after that, or else it is still falling",
            {name: after},
        )  # fmt: skip
    for number, one in enumerate(tails, 1):
        yield Row(
            "the tail: energy over idle; mean power of the first updates after the end",
            f"{one['tail_j']:.3g} J = {_ms(one['tail_j'] / one['load_w'])} of load; "
            + ", ".join(f"{watts:.0f}" for watts in one["first_w"])
            + f" W; idle {one['idle_w']:.0f} W before, {one['end_w']:.0f} W at the end",
            "a window ends at the last kernel: what falls after it is not in its energy",
            {f"tail {number}": one},
        )


def _tail(check: Check, watch_s: float) -> dict[str, Any]:
    with check.recording(_DENSE_S) as samples:
        time.sleep(2.0)
        start_s = time.perf_counter()
        check.loaded.run(3.0)
        end_s = time.perf_counter()
        time.sleep(watch_s)
    power = [(s.t_s, s.power_w) for s in samples if s.power_w is not None]
    counter = [(b, watts) for _, b, watts in counter_pieces(changes(samples, lambda s: s.energy_j))]

    def mean(a: float, b: float) -> float:
        found = [watts for t_s, watts in power if a <= t_s <= b]
        if not found:
            raise GpuError("instant power cannot be read")
        return statistics.fmean(found)

    idle_w, end_w = mean(0.0, start_s), mean(end_s + watch_s - 1.0, end_s + watch_s)
    under = integrated_energy(power, end_s, end_s + watch_s - 0.1, longest_gap_s=1.0)
    if under is None:
        raise GpuError("instant power was not read all along")
    return {
        "instant power": settled_s(power, end_s, idle_w),
        "energy counter": settled_s(counter, end_s, idle_w),
        "tail_j": under.energy_j - end_w * (watch_s - 0.1),
        "first_w": [watts for t_s, watts in counter if t_s > end_s][:5],
        "load_w": mean(end_s - 1.0, end_s), "idle_w": idle_w, "end_w": end_w,
    }  # fmt: skip


def blocks(check: Check) -> Iterator[Row]:
    """Every estimator, and Zeus where it is installed, on the same isolated loads."""
    monitor, without = _zeus()
    n_blocks, (least_s, most_s) = (6, (0.5, 1.5)) if check.quick else (20, (1.0, 3.0))
    lengths_s = [least_s + (most_s - least_s) * k / (n_blocks - 1) for k in range(n_blocks)]
    random.Random(4).shuffle(lengths_s)
    seconds, joules = [], []
    chosen: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for length_s in lengths_s:
        theirs: list[float] = []

        def work(length_s: float = length_s, theirs: list[float] = theirs) -> None:
            if monitor is None:
                return check.loaded.run(length_s)
            monitor.begin_window("block", sync_execution=False)
            check.loaded.run(length_s)
            found = monitor.end_window("block", sync_execution=False)
            theirs.append(sum(found.gpu_energy.values()))

        figures, span = check.window(work, 0.0)
        estimates = figures.devices[0].estimates
        if not estimates:
            missing.update(figures.total.reasons)
            continue
        chosen[estimates[0].method] += 1
        own = {one.method.removeprefix("energy counter, "): one.energy_j for one in estimates}
        own["chosen"] = estimates[0].energy_j
        if theirs:
            own["Zeus"] = theirs[0]
        joules.append(own)
        seconds.append(span.end_s - span.start_s)
        time.sleep(0.5)
    for reason, n in missing.items():
        yield Row(f"{n} blocks without energy", reason)
    if not joules:
        return
    yield Row(
        f"estimator chosen for {len(seconds)} blocks of {min(seconds):.1f} to {max(seconds):.1f} s",
        ", ".join(f"{method}: {n}" for method, n in chosen.most_common()),
        "quiet edge is chosen where idle power was steady on that side",
        {"chosen": dict(chosen), "seconds": seconds, "joules": joules},
    )
    for name in dict.fromkeys(name for one in joules for name in one):
        yield _compared(name, seconds, joules)
    if monitor is None:
        yield Row("Zeus on the same blocks", without, "install zeus to have it beside ours")


def _compared(name: str, seconds: Sequence[float], joules: Sequence[Mapping[str, float]]) -> Row:
    """Return how one estimator differs from the chosen one, and from a straight line of its own.

    The load is constant, so its energy is a straight line over the duration; what scatters around
    the line is the estimator's error and the drift of power, which is the same for all of them.
    """
    pairs = [
        (s, one[name], one["chosen"]) for s, one in zip(seconds, joules, strict=True) if name in one
    ]
    apart = [100 * (own_j - chosen_j) / chosen_j for _, own_j, chosen_j in pairs]
    scatter, scattered = None, "too few for a line"
    if len(pairs) > 3:
        times_s, own = [s for s, _, _ in pairs], [own_j for _, own_j, _ in pairs]
        slope, intercept = statistics.linear_regression(times_s, own)
        rest = [100 * (e - slope * s - intercept) / e for s, e in zip(times_s, own, strict=True)]
        scatter = statistics.stdev(rest)
        scattered = f"scatter around a straight line {scatter:.2f} %"
    return Row(
        f"{name}, {len(pairs)} blocks",
        f"{statistics.fmean(apart):+.2f} % in the mean from the chosen one, worst "
        f"{max(apart, key=abs):+.2f} %; {scattered}",
        "at the start Zeus reads just after an update, as we do" if name == "Zeus" else "",
        {name: {"apart_percent": apart, "scatter_percent": scatter}},
    )


def _zeus() -> tuple[Any, str]:
    try:
        from zeus.monitor import ZeusMonitor  # type: ignore[import-not-found] # in no env of ours

        return ZeusMonitor(gpu_indices=[0], cpu_indices=[]), ""
    except ImportError as error:
        return None, f"not installed: {error}"
    except Exception as error:  # noqa: BLE001  a peer that fails is no reason to stop
        return None, f"failed: {error}"


def repeats(check: Check) -> Iterator[Row]:
    """How far runs of one experiment are apart, each in a process of its own."""
    config = check.experiment(
        warmup={"n_warmup": 3, "convergence_detection": not check.quick},
        baseline={"duration_seconds": 1.0 if check.quick else 2.0},
        energy={"min_window_seconds": 2.0 if check.quick else 5.0},
    )
    execution = ExecutionConfig(n_cycles=5, config_gap_seconds=0.0, cycle_gap_seconds=0.0)
    study = StudyConfig(name="gpu-check", experiments=(config,), execution=execution)
    with tempfile.TemporaryDirectory() as folder:
        # Nothing known from earlier studies, so that what one run takes over is from another.
        os.environ["LLEM_CACHE"] = str(Path(folder) / "calibrations.json")
        record = run_study(study, output=Path(folder) / "results", settings=Settings())
        (study_folder,) = (Path(folder) / "results").iterdir()
        results = [read_result(study_folder / file) for file in record.result_files]
    for failure in record.failed:
        yield Row(f"run {failure.index}", f"failed: {failure.error_message}")
    if not results:
        return
    (point,) = record.summary.points
    for name in ("energy_per_output_token_j", "tokens_per_second"):
        found = getattr(point, name)
        if found is None or found.sd is None:
            yield Row(f"{name} of 5 runs", "missing")
            continue
        values = [getattr(result, name) for result in results]
        yield Row(
            f"{name} of {found.n} runs of {config.model}, {results[0].window_s:.1f} s each",
            f"CV {100 * found.sd / found.mean:.2f} %: {', '.join(f'{v:.4g}' for v in values)}",
            ", ".join(
                f"{n or 'over 1000'} runs for an interval of {share}"
                for share, n in point.runs_needed.items()
                if name == "energy_per_output_token_j"
            ),
            {name: {"cv": found.sd / found.mean, "values": values}},
        )
    reused = [r.baseline.context_reused for r in results if r.baseline]
    made = [r.calibration[0].made_at for r in results if r.calibration]
    yield Row(
        "handed from run to run",
        f"idle power {sum(reused)} times, calibration {len(made) - len(set(made))} times, "
        f"of {len(results) - 1}",
        "" if any(reused) else "idle power was measured anew: another temperature, or an error",
        {"context_reused": reused, "calibrations": made},
    )
    doubts = Counter(reason for r in results for reason in r.figures["energy_total_j"].reasons)
    yield Row(
        "what the runs said of their energy",
        ", ".join(sorted({r.energy_status for r in results})) + f"; {results[0].energy_method}",
        "; ".join(f"{reason} ({n})" for reason, n in doubts.items()),
        {"statuses": [r.energy_status for r in results], "reasons": dict(doubts)},
    )


Part = Callable[[Check], Iterator[Row]]
PARTS: dict[str, Part] = {
    "environment": environment,
    "calibration": calibration,
    "stamps": stamps,
    "exactness": exactness,
    "agreement": agreement,
    "latency": latency,
    "sampler": sampler_cost,
    "tail": tail,
    "blocks": blocks,
    "repeats": repeats,
}
_ONLY_LOADED = ("exactness", "tail", "blocks", "repeats")


def prepare(index: int, *, quick: bool, load: bool) -> Check:
    """Return the check of one GPU.

    Raises:
        MeasurementError: no driver, no such GPU, or torch does not see it.
    """
    with driver():
        n_gpus = len(find_gpus()[0])
    if n_gpus > 1:
        # Before torch is imported. By number, since Zeus reads nothing else; in the driver's order.
        os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(index)}
    source = NvmlSource([index])
    if not load:
        return Check(source, None, quick=quick)
    try:
        import torch
    except ImportError as error:
        raise GpuError(f"torch cannot be imported ({error}); --no-load does without it") from error
    if not torch.cuda.is_available():
        raise GpuError("torch sees no CUDA device; --no-load does what needs none")
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    if not source.devices[0].endswith(uuid):
        raise GpuError(f"torch uses {uuid}, which is not GPU {index} ({source.devices[0]})")
    try:
        return Check(source, Load(), quick=quick)
    except RuntimeError as error:  # torch's own, e.g. another process holds the memory
        raise GpuError(f"the GPU cannot be loaded ({error})") from error


def perform(name: str, check: Check) -> dict[str, Any]:
    """Print the rows of a part and return them; what it raises is its last row."""
    start_s = time.perf_counter()
    rows: list[Row] = []
    failed = None

    def show(row: Row) -> None:
        rows.append(row)
        cells = (
            cell.replace("|", "/").replace("\n", " ") for cell in (row.what, row.seen, row.means)
        )
        print(f"| {' | '.join(cells)} |", flush=True)

    try:
        for row in PARTS[name](check):
            show(row)
    except Exception as error:  # noqa: BLE001  one part must not take the others with it
        failed = f"{type(error).__name__}: {error}"
        show(Row(name, f"failed: {failed}"))
    return {
        "seconds": time.perf_counter() - start_s,
        "failed": failed,
        "rows": [[row.what, row.seen, row.means] for row in rows],
        "figures": {key: value for row in rows for key, value in row.figures.items()},
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--gpu", type=int, default=0, metavar="INDEX", help="in NVML's order")
    parser.add_argument("--quick", action="store_true", help="shorter loads, fewer repeats")
    parser.add_argument("--no-load", action="store_true", help="only what needs no CUDA")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    given = parser.parse_args()
    if unknown := set(given.part) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    try:
        check = prepare(given.gpu, quick=given.quick, load=not given.no_load)
    except MeasurementError as error:
        raise SystemExit(f"No GPU to check here: {error}.") from None
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}, GPU {given.gpu} {check.uuid}\n")  # fmt: skip
    print("| what | seen | what it means |\n|---|---|---|")
    start_s = time.perf_counter()
    report: dict[str, Any] = {"gpu": check.uuid, "quick": given.quick, "parts": {}}
    for name in given.part or PARTS:
        if given.no_load and name in _ONLY_LOADED:
            continue
        report["parts"][name] = perform(name, check)
        if given.json is not None:  # at once: a machine may be taken back before the last part
            given.json.write_text(json.dumps(report, indent=2, default=str) + "\n", "utf-8")
    print(f"\n{time.perf_counter() - start_s:.0f} s")


if __name__ == "__main__":
    main()
