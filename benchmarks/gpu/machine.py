"""The parts that describe the machine, the periods of its meters, and their timestamps."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator

import msgspec

from benchmarks.gpu.check import Check, Row
from benchmarks.gpu.durations import every, ms
from benchmarks.gpu.traces import follow
from llem_energy._board_check.bench import DENSE_S
from llem_energy._machine.environment import installed_version, snapshot_environment
from llem_energy._metering.calibration import edge_bound_shares
from llem_energy._sources.nvml_gpu import Gpu
from llem_energy.sources import Calibration, calibrate


def environment(check: Check) -> Iterator[Row]:
    """Describe the machine and its settings."""
    machine = snapshot_environment({os.getpid()})
    gpu = Gpu(check.uuid)
    state = gpu.snapshot({os.getpid()})
    others = gpu.other_pids({os.getpid()})
    versions = machine.packages | {"zeus": installed_version("zeus")}
    yield Row(
        "GPU",
        f"{state.name}, driver {machine.driver}, CUDA {machine.cuda_driver}, VBIOS {state.vbios}",
        f"virtualization: {state.virtualization or 'unknown'}",
        {"gpu": msgspec.to_builtins(state), "driver": machine.driver, "nvml": machine.nvml},
    )
    same = state.power_limit_w == state.power_limit_default_w
    yield Row(
        "power limit, max SM clock, application clock",
        f"{state.power_limit_w} W (default {state.power_limit_default_w} W), "
        f"{state.sm_clock_max_mhz} MHz, {state.application_sm_clock_mhz} MHz",
        "default" if same else "changed: report this with every figure",
    )
    on = {True: "on", False: "off", None: "unknown"}
    yield Row(
        "persistence, MIG, ECC",
        f"{on[state.persistence_mode]}, {on[state.mig]}, {on[state.ecc]}",
        "the driver may be unloaded, which resets the counter"
        if state.persistence_mode is False
        else "",
    )
    yield Row(
        "other processes on the GPU",
        "unknown" if others is None else f"{len(others)}",
        "every figure below includes their energy" if others else "",
        {"other_pids": others},
    )
    fields = gpu.supported_fields()
    module = "with" if gpu.has_module_power() else "no"
    yield Row(
        "supported fields, of 74 75 83 185 186 191",
        f"{' '.join(map(str, fields))}; {module} module power",
        "" if 83 in fields else f"no counter: {gpu.counter_problem()}",
        {"fields": fields},
    )
    installed = {name: version for name, version in versions.items() if version}
    shown = ("torch", "transformers", "nvidia-ml-py", "llem-energy", "zeus")
    yield Row(
        "versions",
        f"Python {machine.python}; "
        + ", ".join(f"{name} {installed.get(name, 'not installed')}" for name in shown),
        f"load: {check.load.what}" if check.load else "without load",
        {"versions": installed},
    )


def calibration(check: Check) -> Iterator[Row]:
    """Measure periods, jitter and the duration of calls, at idle and under load."""
    yield from _calibrated("idle", check.calibration)
    if check.load is not None:
        with check.load.busy():
            loaded = calibrate(check.source, min_duration_s=2.0)[0]
        yield from _calibrated("under load", loaded)


def _calibrated(when: str, seen: Calibration) -> Iterator[Row]:
    period_s, jitter_s = seen.counter_period_s, seen.counter_jitter_s
    step = "" if seen.counter_step_j is None else f", step {seen.counter_step_j:.3g} J"
    means = "no counter: power is integrated, without a bound"
    if period_s is not None:
        typical, worst = edge_bound_shares(period_s, 10.0)
        means = f"bound of a 10 s window: {100 * typical:.2g} % typical, {100 * worst:.2g} % at p95"
    yield Row(
        f"energy counter, {when}",
        f"{every(period_s)}, jitter {ms(jitter_s)}{step}, {seen.n_updates} updates",
        means,
        {f"{when}": msgspec.to_builtins(seen)},
    )
    yield Row(
        f"instant power, {when}",
        every(seen.power_period_s),
        "" if seen.power_period_s else "power was constant, or cannot be read",
    )
    share = "" if period_s is None else f"{100 * seen.call_p99_s / period_s:.2g} % of a period"
    yield Row(
        f"one reading at 1 kHz, {when}",
        f"p50 {ms(seen.call_p50_s)}, p99 {ms(seen.call_p99_s)}",
        share and f"the time of an edge is uncertain by {share} at p99",
    )


def stamps(check: Check) -> Iterator[Row]:
    """Check what determines the timestamps that the driver gives field values."""
    import pynvml

    fields = {83: "energy counter", 186: "instant power", 185: "average power"}
    handle, reads = check.handle, []
    with check.load.busy() if check.load else contextlib.nullcontext():
        end_s = time.perf_counter() + (1.0 if check.quick else 5.0)
        while time.perf_counter() < end_s:
            before_s = time.time()
            values = pynvml.nvmlDeviceGetFieldValues(handle, list(fields))
            reads.append((before_s, time.time(), values))
            time.sleep(DENSE_S)
    for i, (number, name) in enumerate(fields.items()):
        good = [(a, b, v[i]) for a, b, v in reads if v[i].nvmlReturn == pynvml.NVML_SUCCESS]
        if len(good) < 2:
            yield Row(f"timestamps of field {number}, {name}", "the field is not supported")
            continue
        seen = follow([(b, v.timestamp, v.value.ullVal) for _, b, v in good])
        age_s = statistics.median((a + b) / 2 - 1e-6 * v.timestamp for a, b, v in good)
        latency_s = statistics.median(1e-6 * v.latencyUsec for _, _, v in good)
        yield Row(
            f"timestamps of field {number}, {name}",
            f"follow {seen.follows}; timestamp: {every(seen.step_s)}; "
            f"value: {every(seen.value_period_s)}; {ms(age_s)} old when read; latency reported by the driver {ms(latency_s)}",
            {
                "the query": "they are times of the query, not of the value",
                "the sensor": "they are times of the value: better than the read duration",
                "neither": "they are times at which the driver refreshed its copy",
                "nothing": "they carry no information",
            }[seen.follows],
            {f"{number}": msgspec.to_builtins(seen) | {"age_s": age_s, "latency_s": latency_s}},
        )
