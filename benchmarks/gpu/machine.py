"""The parts that tell what the machine is, how its meters tick and what their stamps follow."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterator

import msgspec

from benchmarks.gpu.check import DENSE_S, Check, Row
from benchmarks.gpu.durations import ms
from benchmarks.gpu.traces import follow
from llem_energy import Calibration, calibrate
from llem_energy._machine.environment import installed_version, snapshot_environment
from llem_energy._metering.calibration import edge_bound_shares
from llem_energy._sources.nvml_gpu import Gpu


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
            found = calibrate(check.source, min_duration_s=2.0)[0]
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
        f"every {ms(period_s)}, jitter {ms(jitter_s)}{step}, {found.n_updates} updates",
        means,
        {f"{when}": msgspec.to_builtins(found)},
    )
    yield Row(
        f"instant power, {when}",
        f"every {ms(found.power_period_s)}",
        "" if found.power_period_s else "it did not change",
    )
    share = "" if period_s is None else f"{100 * found.call_p99_s / period_s:.2g} % of a period"
    yield Row(
        f"one reading at 1 kHz, {when}",
        f"p50 {ms(found.call_p50_s)}, p99 {ms(found.call_p99_s)}",
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
            time.sleep(DENSE_S)
    for i, (number, name) in enumerate(fields.items()):
        good = [(a, b, v[i]) for a, b, v in reads if v[i].nvmlReturn == pynvml.NVML_SUCCESS]
        if len(good) < 2:
            yield Row(f"stamps of field {number}, {name}", "the field does not answer")
            continue
        seen = follow([(b, v.timestamp, v.value.ullVal) for _, b, v in good])
        age_s = statistics.median((a + b) / 2 - 1e-6 * v.timestamp for a, b, v in good)
        took_s = statistics.median(1e-6 * v.latencyUsec for _, _, v in good)
        moves = "stand still" if seen.step_s is None else f"move every {ms(seen.step_s)}"
        yield Row(
            f"stamps of field {number}, {name}",
            f"follow {seen.follows}: {moves}, the value every {ms(seen.value_period_s)}; "
            f"{ms(age_s)} old when read; latency by the driver {ms(took_s)}",
            {
                "the query": "they tell when it was asked, not how old the value is",
                "the sensor": "they tell when the value was true: better than our brackets",
                "neither": "they tell when the driver refreshed its copy",
                "nothing": "they say nothing",
            }[seen.follows],
            {f"{number}": msgspec.to_builtins(seen) | {"age_s": age_s, "latency_s": took_s}},
        )
