"""Our side of the energy benchmark: runs one part under the fake driver and prints JSON.

`energy_accuracy.py` starts this process in the same way as the scripts of the peers, with the same
requests. On the virtual clock, readings are taken at the times at which the sampler and the guards
of a window take them, through the real source and binding. From there on the code of a measurement
runs unchanged.
"""

from __future__ import annotations

import math
import os
import statistics
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.energy.guarded_windows import guarded
from benchmarks.energy.peers.stage import main, now_s, start_clock, stay, virtual_clock, wait_until
from llem_energy._estimation.window_energy import EnergyFigures, energy_figures
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.window import GUARD_PERIODS, MeasuredSpan, Windows
from llem_energy.sources import (
    Calibration,
    Kind,
    NvmlSource,
    Sample,
    calibrate,
    open_source,
)

_TICK_S = 0.05  # the default sample period
_SETTLE_S = 0.01  # for the reading that waited for the gate
_DENSE_S = 0.002  # a real guard is read slightly more often


class Virtual:
    """A source on the virtual clock, with its calibration."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._move = virtual_clock()
        self._move(0.0)
        self.source = NvmlSource([0], clock=lambda: self.now_s)
        self.calibration = calibrate(self.source, clock=lambda: self.now_s, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.read_at(self.now_s + seconds)

    def read_at(self, t_s: float) -> list[Sample]:
        """Move the clock and read the source."""
        self.now_s = t_s
        self._move(t_s)
        return list(self.source.read())

    def figures(self, ticks: Sequence[Sample], window: tuple[float, float], guard: bool) -> Any:
        """Return the figures of one window from the shared ticks and the dense readings at its edges."""
        t0_s, t1_s = window
        period_s = self.calibration[0].counter_period_s or 0.1
        guard_s = GUARD_PERIODS * period_s
        n_dense = math.ceil(guard_s / _DENSE_S)
        first = max(0, int((t0_s - 3 * guard_s - 1) / _TICK_S))
        samples = list(ticks[first : int((t1_s + 3 * guard_s + 1) / _TICK_S)])
        for k in range(n_dense, 0, -1):
            samples += self.read_at(t0_s - k * _DENSE_S)
        samples += self.read_at(t0_s - 1e-5)
        for k in range(n_dense + 1):
            samples += self.read_at(t1_s + 1e-5 + k * _DENSE_S)
        samples.sort(key=lambda sample: sample.t_s)
        span = MeasuredSpan(t0_s, t1_s, 0.0, 1, guard_s if guard else 0.0)
        # As after a check of the board: these counters see everything.
        seen = self.source.devices
        return energy_figures(self.source, samples, span, self.calibration, seen=seen)


def windows(request: dict[str, Any]) -> dict[str, Any]:
    """Measure windows on the virtual clock."""
    virtual = Virtual()
    requested = [(t0_s, t1_s) for t0_s, t1_s in request["windows"]]
    last_s = max(t1_s for _, t1_s in requested) + 3.0
    ticks = [s for k in range(int(last_s / _TICK_S)) for s in virtual.read_at(k * _TICK_S)]
    figures = [virtual.figures(ticks, window, request["guard"]) for window in requested]
    return {
        "energies_j": [window.total_j for window in figures],
        "bounds_j": [window.bound_j for window in figures],
        "uncertainties_j": [window.uncertainty_j for window in figures],
        "methods": [window.method for window in figures],
    }


def recorded(request: dict[str, Any]) -> dict[str, Any]:
    """Record in real time, then compute the energy of windows of the recording."""
    start_clock()
    source = NvmlSource([0])
    calibration = calibrate(source)
    recorder = Recorder(None)
    start_s = time.perf_counter()
    fake_start_s = now_s()
    with Sampler(source, _TICK_S, recorder):
        time.sleep(max(t1_s for _, t1_s in request["windows"]) + 1.0)
    samples = recorder.between(0.0, math.inf)
    figures = [
        energy_figures(
            source, samples, MeasuredSpan(start_s + t0, start_s + t1, 0.0, 1, 0.0), calibration
        )
        for t0, t1 in request["windows"]
    ]
    return {"start_s": fake_start_s, "energies_j": [window.total_j for window in figures]}


def cost(request: dict[str, Any]) -> dict[str, Any]:
    """Sample until the parent closes stdin."""
    start_s = time.perf_counter()
    source = NvmlSource([0])
    with Sampler(source, request["period_s"], Recorder(None)):
        return stay(time.perf_counter() - start_s)


def latency(request: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds for which the work waits at the edges of a window."""
    import pynvml

    source = NvmlSource([0])
    sampler = Sampler(source, 1.0, Recorder(None))
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    edge_s, bare_s = [], []
    for _ in range(request["n"]):
        before = time.perf_counter()
        sampler.read()
        edge_s.append(time.perf_counter() - before)
        before = time.perf_counter()
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        bare_s.append(time.perf_counter() - before)
    edge = statistics.median(edge_s)
    return {"begin_s": edge, "end_s": edge, "bare_s": statistics.median(bare_s)}


def fault(request: dict[str, Any]) -> dict[str, Any]:
    """Measure one window in real time while a scripted fault occurs."""
    start_clock()
    t0_s, t1_s = request["window"]
    source, reasons = open_source(["nvml"], list(range(request["n_gpus"])))
    if source is None:
        wait_until(t1_s)
        return {"window": [t0_s, t1_s], "value_j": None, "status": "missing", "reasons": reasons}
    calibration: tuple[Calibration, ...] = calibrate(source, timeout_s=2.0)
    recorder = Recorder(None)
    offset_s = time.perf_counter() - now_s()
    with Sampler(source, _TICK_S, recorder) as sampler:
        windows = Windows(sampler, lambda: None, calibration, source.devices)
        wait_until(t0_s - 0.42)
        span = windows.measure(lambda: wait_until(t1_s), 0.0)
    samples = recorder.between(0.0, math.inf)
    figures: EnergyFigures = energy_figures(source, samples, span, calibration)
    return {
        "window": [span.start_s - offset_s, span.end_s - offset_s],
        "value_j": figures.total_j,
        "bound_j": figures.bound_j,
        "status": figures.total.status,
        "reasons": list(figures.total.reasons),
    }


class _Gated:
    """A source whose sampler waits until the gate is opened.

    A new sampler for each turn would start with its slowest reading, of which short turns would then
    have too many.
    """

    name = "nvml"
    kind: Kind = "gpu"

    def __init__(self, source: NvmlSource) -> None:
        self.devices = source.devices
        self.gain_share = source.gain_share
        self.versions = source.versions
        self.gate = threading.Event()
        self._source = source

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        self.gate.wait()
        return self._source.read(details=details)

    def power_limit_w(self, device: str) -> float | None:
        return self._source.power_limit_w(device)

    def close(self) -> None:
        self._source.close()


def throughput(request: dict[str, Any]) -> dict[str, Any]:
    """Generate batches alternately with and without a sampler, and return both rates of each turn.

    The turns are short and their order alternates, so that changes in the speed of the machine
    affect both equally.
    """
    from llem_config import ExperimentConfig
    from llem_energy._backends.registry import find_backend
    from llem_energy._prompts.load import load_prompts

    config = ExperimentConfig.model_validate(
        {
            "model": "builtin:tiny-llama", "precision": "fp32", "n": 1, "max_input_tokens": 16,
            "max_output_tokens": 16, "pytorch": {"device": "cpu", "batch_size": 1},
        }
    )  # fmt: skip
    backend = find_backend(config)
    backend.open()
    backend.load()
    (batch,) = backend.prepare(load_prompts(config, backend.vocabulary())).batches
    gated = _Gated(NvmlSource([0]))

    def rates(sampled: bool) -> tuple[float, float]:
        """Return batches per second of wall-clock time, and of CPU time of the process."""
        if sampled:
            gated.gate.set()
        time.sleep(_SETTLE_S)
        start_s, cpu_s, n = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start_s < request["turn_s"]:
            backend.generate(batch)
            n += 1
        per_second = n / (time.perf_counter() - start_s), n / (time.process_time() - cpu_s)
        gated.gate.clear()
        return per_second

    pairs = []
    with Sampler(gated, request["period_s"], Recorder(None)):
        rates(False)
        for turn in range(request["n_turns"]):
            sampled_first = turn % 2 == 0
            first, second = rates(sampled_first), rates(not sampled_first)
            pairs.append((first, second) if sampled_first else (second, first))
        gated.gate.set()  # otherwise the sampler would wait for it and never end
    return {"pairs": pairs, "n_threads": os.environ.get("OMP_NUM_THREADS")}


if __name__ == "__main__":
    main(
        {
            "windows": windows,
            "guarded": guarded,
            "recorded": recorded,
            "cost": cost,
            "latency": latency,
            "fault": fault,
            "throughput": throughput,
        }
    )
