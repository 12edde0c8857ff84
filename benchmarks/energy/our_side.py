"""Our side of the energy benchmark: one part, in a process under the fake driver; prints JSON.

`energy_accuracy.py` starts it as it starts the peers' scripts, with the same requests. On the
virtual clock readings are taken at the instants at which the sampler and the guards of a window
take them, through the real source and binding; everything from there on is the code of a
measurement.
"""

from __future__ import annotations

import math
import os
import statistics
import threading
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.energy.peers.stage import main, now_s, start_clock, stay, virtual_clock, wait_until
from llem_energy import Calibration
from llem_energy._estimation.window_energy import EnergyFigures, energy_figures
from llem_energy._metering.calibration import calibrate
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.sampler import Sampler
from llem_energy._metering.window import GUARD_PERIODS, MeasuredSpan, Windows
from llem_energy._sources.nvml import NvmlSource
from llem_energy._sources.protocol import Kind, Sample
from llem_energy._sources.registry import open_source

_TICK_S = 0.05  # the default sample period
_SETTLE_S = 0.01  # for the reading that waited at the gate
_DENSE_S = 0.002  # a real guard is read somewhat more often


class Virtual:
    """A source on the virtual clock."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._move = virtual_clock()
        self._move(0.0)
        self.source = NvmlSource([0], clock=lambda: self.now_s)
        self.calibration = calibrate(self.source, clock=lambda: self.now_s, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.read_at(self.now_s + seconds)

    def read_at(self, t_s: float) -> list[Sample]:
        """Move the clock and read."""
        self.now_s = t_s
        self._move(t_s)
        return list(self.source.read())

    def figures(self, ticks: Sequence[Sample], window: tuple[float, float], guard: bool) -> Any:
        """Return the figures of one window from the shared ticks and its own dense readings."""
        t0_s, t1_s = window
        period_s = self.calibration[0].counter_period_s or 0.1
        guard_s = GUARD_PERIODS * period_s
        n_dense = math.ceil(guard_s / _DENSE_S)
        first = max(0, int((t0_s - 3 * guard_s - 1) / _TICK_S))
        own = list(ticks[first : int((t1_s + 3 * guard_s + 1) / _TICK_S)])
        for k in range(n_dense, 0, -1):
            own += self.read_at(t0_s - k * _DENSE_S)
        own += self.read_at(t0_s - 1e-5)
        for k in range(n_dense + 1):
            own += self.read_at(t1_s + 1e-5 + k * _DENSE_S)
        own.sort(key=lambda sample: sample.t_s)
        span = MeasuredSpan(t0_s, t1_s, 0.0, 1, guard_s if guard else 0.0)
        return energy_figures(self.source, own, span, self.calibration)


def windows(request: dict[str, Any]) -> dict[str, Any]:
    """Measure windows on the virtual clock."""
    virtual = Virtual()
    asked = [(t0_s, t1_s) for t0_s, t1_s in request["windows"]]
    last_s = max(t1_s for _, t1_s in asked) + 3.0
    ticks = [s for k in range(int(last_s / _TICK_S)) for s in virtual.read_at(k * _TICK_S)]
    found = [virtual.figures(ticks, window, request["guard"]) for window in asked]
    return {
        "energies_j": [one.total_j for one in found],
        "bounds_j": [one.bound_j for one in found],
        "uncertainties_j": [one.uncertainty_j for one in found],
        "methods": [one.method for one in found],
    }


def recorded(request: dict[str, Any]) -> dict[str, Any]:
    """Measure windows of one recording in real time, after the fact."""
    start_clock()
    source = NvmlSource([0])
    calibration = calibrate(source)
    recorder = Recorder(None)
    start_s = time.perf_counter()
    fake_start_s = now_s()
    with Sampler(source, _TICK_S, recorder):
        time.sleep(max(t1_s for _, t1_s in request["windows"]) + 1.0)
    samples = recorder.between(0.0, math.inf)
    found = [
        energy_figures(
            source, samples, MeasuredSpan(start_s + t0, start_s + t1, 0.0, 1, 0.0), calibration
        )
        for t0, t1 in request["windows"]
    ]
    return {"start_s": fake_start_s, "energies_j": [one.total_j for one in found]}


def cost(request: dict[str, Any]) -> dict[str, Any]:
    """Sample until the parent closes stdin."""
    start_s = time.perf_counter()
    source = NvmlSource([0])
    with Sampler(source, request["period_s"], Recorder(None)):
        return stay(time.perf_counter() - start_s)


def latency(request: dict[str, Any]) -> dict[str, Any]:
    """Return how long the work waits at the edges of a window."""
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
    """Measure one window in real time while something goes wrong."""
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
    found: EnergyFigures = energy_figures(source, samples, span, calibration)
    return {
        "window": [span.start_s - offset_s, span.end_s - offset_s],
        "value_j": found.total_j,
        "bound_j": found.bound_j,
        "status": found.total.status,
        "reasons": list(found.total.reasons),
    }


class _Gated:
    """A source whose sampler stands still until the gate is opened, and then goes on as ever.

    A sampler for each turn would begin with its dearest reading, so that short turns had too many.
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
    """Answer batches with and without a sampler beside, in turn, and return both rates of each turn.

    The turns are short and their order alternates, so that the machine's own ups and downs fall on
    both alike.
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
        """Return batches a second, by the clock and by the processor time of the process."""
        if sampled:
            gated.gate.set()
        time.sleep(_SETTLE_S)
        start_s, cpu_s, n = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start_s < request["turn_s"]:
            backend.generate(batch)
            n += 1
        found = n / (time.perf_counter() - start_s), n / (time.process_time() - cpu_s)
        gated.gate.clear()
        return found

    pairs = []
    with Sampler(gated, request["period_s"], Recorder(None)):
        rates(False)
        for turn in range(request["n_turns"]):
            first = turn % 2 == 0
            one, other = rates(first), rates(not first)
            pairs.append((one, other) if first else (other, one))
        gated.gate.set()  # else the sampler would wait for it and never end
    return {"pairs": pairs, "n_threads": os.environ.get("OMP_NUM_THREADS")}


if __name__ == "__main__":
    main(
        {
            "windows": windows,
            "recorded": recorded,
            "cost": cost,
            "latency": latency,
            "fault": fault,
            "throughput": throughput,
        }
    )
