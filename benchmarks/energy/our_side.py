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
from collections import deque
from collections.abc import Sequence
from typing import Any

from benchmarks.energy.guarded_windows import guarded
from benchmarks.energy.peers.stage import main, now_s, start_clock, stay, virtual_clock, wait_until
from llem_energy import EnergyMeter
from llem_energy.sources import (
    Edges,
    Kind,
    NvmlSource,
    Sample,
    Sampler,
    WindowEnergy,
    WindowSpan,
    calibrate,
    window_energy,
)

_TICK_S = 0.05  # the default sample period
_SETTLE_S = 0.01  # for the reading that waited for the gate
_DENSE_S = 0.002  # a real guard is read slightly more often


class _Kept:
    """Keeps the samples of a thread."""

    def __init__(self, n: int | None = None) -> None:
        """Keep all, or the newest `n`."""
        self._samples: deque[Sample] = deque(maxlen=n)

    def add(self, samples: Sequence[Sample]) -> None:
        self._samples.extend(samples)

    def in_order(self) -> list[Sample]:
        """Return them in time order."""
        return sorted(self._samples, key=lambda sample: sample.t_s)


_N_RECENT = 10_000


class Virtual:
    """A source on the virtual clock, with its calibration."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._move = virtual_clock()
        self._move(0.0)
        self.source = NvmlSource([0], clock=lambda: self.now_s)
        self.calibration = calibrate(self.source, clock=lambda: self.now_s, sleep=self._sleep)
        sampler = Sampler(self.source, _TICK_S, _Kept())
        self._guard_s = Edges(sampler, self.calibration, self.source.devices).guard_s

    def _sleep(self, seconds: float) -> None:
        self.read_at(self.now_s + seconds)

    def read_at(self, t_s: float) -> list[Sample]:
        """Move the clock and read the source."""
        self.now_s = t_s
        self._move(t_s)
        return list(self.source.read())

    def energy(
        self, ticks: Sequence[Sample], window: tuple[float, float], guard: bool
    ) -> WindowEnergy:
        """Return the energy of one window from the shared ticks and the dense readings at its edges."""
        t0_s, t1_s = window
        guard_s = self._guard_s
        n_dense = math.ceil(guard_s / _DENSE_S)
        first = max(0, int((t0_s - 3 * guard_s - 1) / _TICK_S))
        samples = list(ticks[first : int((t1_s + 3 * guard_s + 1) / _TICK_S)])
        for k in range(n_dense, 0, -1):
            samples += self.read_at(t0_s - k * _DENSE_S)
        samples += self.read_at(t0_s - 1e-5)
        for k in range(n_dense + 1):
            samples += self.read_at(t1_s + 1e-5 + k * _DENSE_S)
        samples.sort(key=lambda sample: sample.t_s)
        span = WindowSpan(t0_s, t1_s, guard_s if guard else 0.0)
        # As after a check of the board: these counters see everything.
        seen = self.source.devices
        return window_energy(self.source, samples, span, self.calibration, seen=seen, exact=seen)


def windows(request: dict[str, Any]) -> dict[str, Any]:
    """Measure windows on the virtual clock."""
    virtual = Virtual()
    requested = [(t0_s, t1_s) for t0_s, t1_s in request["windows"]]
    last_s = max(t1_s for _, t1_s in requested) + 3.0
    ticks = [s for k in range(int(last_s / _TICK_S)) for s in virtual.read_at(k * _TICK_S)]
    energies = [virtual.energy(ticks, window, request["guard"]) for window in requested]
    return {
        "energies_j": [energy.total_j for energy in energies],
        "bounds_j": [energy.bound_j for energy in energies],
        "uncertainties_j": [energy.uncertainty_j for energy in energies],
        "methods": [energy.method for energy in energies],
    }


def recorded(request: dict[str, Any]) -> dict[str, Any]:
    """Record in real time, then compute the energy of windows of the recording."""
    start_clock()
    source = NvmlSource([0])
    calibration = calibrate(source)
    kept = _Kept()
    start_s = time.perf_counter()
    fake_start_s = now_s()
    with Sampler(source, _TICK_S, kept):
        time.sleep(max(t1_s for _, t1_s in request["windows"]) + 1.0)
    samples = kept.in_order()
    energies = [
        window_energy(source, samples, WindowSpan(start_s + t0_s, start_s + t1_s), calibration)
        for t0_s, t1_s in request["windows"]
    ]
    return {"start_s": fake_start_s, "energies_j": [energy.total_j for energy in energies]}


def cost(request: dict[str, Any]) -> dict[str, Any]:
    """Sample until the parent closes stdin."""
    start_s = time.perf_counter()
    source = NvmlSource([0])
    with Sampler(source, request["period_s"], _Kept(_N_RECENT)):
        return stay(time.perf_counter() - start_s)


def latency(request: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds for which the work waits at the edges of a window."""
    import pynvml

    source = NvmlSource([0])
    sampler = Sampler(source, 1.0, _Kept(_N_RECENT))
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
    with EnergyMeter(range(request["n_gpus"]), sources=["nvml"]) as meter:
        offset_s = time.perf_counter() - now_s()
        wait_until(t0_s - 0.42)
        with meter.window() as window:
            wait_until(t1_s)
        energy = window.energy
    assert window.start_s is not None and window.end_s is not None
    return {
        "window": [window.start_s - offset_s, window.end_s - offset_s],
        "value_j": energy.total_j,
        "bound_j": energy.bound_j,
        "status": energy.status,
        "reasons": energy.reasons,
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
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    small = LlamaConfig(
        vocab_size=1024, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4,
    )  # fmt: skip
    model = LlamaForCausalLM(small).eval()
    prompt = torch.full((1, 16), 7)
    n_tokens = {"min_new_tokens": 16, "max_new_tokens": 16, "do_sample": False, "pad_token_id": 0}
    gated = _Gated(NvmlSource([0]))

    def rates(sampled: bool) -> tuple[float, float]:
        """Return batches per second of wall-clock time, and of CPU time of the process."""
        if sampled:
            gated.gate.set()
        time.sleep(_SETTLE_S)
        start_s, cpu_s, n = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start_s < request["turn_s"]:
            model.generate(prompt, attention_mask=torch.ones_like(prompt), **n_tokens)
            n += 1
        per_second = n / (time.perf_counter() - start_s), n / (time.process_time() - cpu_s)
        gated.gate.clear()
        return per_second

    pairs = []
    with Sampler(gated, request["period_s"], _Kept(_N_RECENT)):
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
