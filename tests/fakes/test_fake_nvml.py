"""The fake NVIDIA driver library, seen through the real binding.

Each test starts a process of its own, because the loader reads `LD_LIBRARY_PATH` only once and
the binding keeps the library it has found for the life of the process.
"""

import json
import math
import os
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import CallFault, FakeGpu, Fault, Process, Throttle, true_energy_j
from fakes.faults import FAULTS, HEALTHY, verdict
from fakes.traces import TRACES, blocks, random_windows

OTHER_UUID = "GPU-00000000-0000-0000-0000-000000000002"
GPU_IS_LOST = 15
NOT_SUPPORTED = 3

# Answers a list of Python expressions, one by one, as JSON; an NVML error answers with its name.
PROBE = """
import ctypes, json, sys, time
from pynvml import *

fake = ctypes.CDLL("libnvidia-ml.so.1")
fake.fake_nvml_set_time.argtypes = [ctypes.c_double]
fake.fake_nvml_set_time.restype = None
fake.fake_nvml_now.restype = ctypes.c_double
fake.fake_nvml_true_energy.argtypes = [ctypes.c_uint, ctypes.c_double, ctypes.c_double]
fake.fake_nvml_true_energy.restype = ctypes.c_double
fake.fake_nvml_calls.restype = ctypes.c_ulong

now = fake.fake_nvml_now
truth = fake.fake_nvml_true_energy
at = fake.fake_nvml_set_time
gpu = nvmlDeviceGetHandleByIndex

def calls(function):
    return fake.fake_nvml_calls(function.encode())

def energy(t_s, index=0):
    at(t_s)
    return nvmlDeviceGetTotalEnergyConsumption(gpu(index))

def fields(t_s, *ids, index=0):
    at(t_s)
    found = nvmlDeviceGetFieldValues(gpu(index), ids)
    is_wide = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
    return [
        f"error {f.nvmlReturn}" if f.nvmlReturn
        else f.value.ullVal if f.valueType == is_wide else f.value.uiVal
        for f in found
    ]

def ring(t_s, last_seen_us=0, index=0):
    at(t_s)
    kind, samples = nvmlDeviceGetSamples(gpu(index), NVML_TOTAL_POWER_SAMPLES, last_seen_us)
    assert kind == NVML_VALUE_TYPE_UNSIGNED_INT
    return [[sample.timeStamp, sample.sampleValue.uiVal] for sample in samples]

def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start

answers = []
for expression in json.load(sys.stdin):
    try:
        answers.append(eval(expression))
    except NVMLError as error:
        answers.append(type(error).__name__)
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Rig:
    """Asks questions in a new process which sees the fake GPUs and no others."""

    library: Path
    trace: Path
    extra: dict[str, str] = field(default_factory=dict)

    def run(self, expressions: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROBE],
            input=json.dumps(expressions),
            env=os.environ | fake_nvml.environment(self.library, self.trace) | self.extra,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ask(self, gpus: Sequence[FakeGpu] | FakeGpu, *expressions: str) -> list[Any]:
        fake_nvml.write_trace(self.trace, [gpus] if isinstance(gpus, FakeGpu) else gpus)
        done = self.run(["nvmlInit()", *expressions])
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        answers: list[Any] = json.loads(done.stdout)
        assert answers[0] is None, "init failed"
        return answers[1:]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return fake_nvml.build(tmp_path_factory.mktemp("fake nvml"))
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def rig(library: Path, tmp_path: Path) -> Rig:
    return Rig(library, tmp_path / "gpus.trace")


def energies(times_s: Sequence[float]) -> list[str]:
    return [f"energy({t_s!r})" for t_s in times_s]


# ---- Who is there ----


def test_binding_sees_the_gpus_of_the_trace_in_their_order(rig: Rig) -> None:
    gpus = [FakeGpu(), FakeGpu(name="Fake A100 with spaces", uuid=OTHER_UUID)]
    answers = rig.ask(
        gpus,
        "nvmlDeviceGetCount()",
        "[nvmlDeviceGetName(gpu(i)) for i in range(2)]",
        "[nvmlDeviceGetUUID(gpu(i)) for i in range(2)]",
        f"nvmlDeviceGetIndex(nvmlDeviceGetHandleByUUID({OTHER_UUID!r}))",
    )
    assert answers == [2, [g.name for g in gpus], [g.uuid for g in gpus], 1]


def test_unknown_index_and_unknown_uuid_are_refused(rig: Rig) -> None:
    answers = rig.ask(FakeGpu(), "gpu(1)", "nvmlDeviceGetHandleByUUID('GPU-nobody')")
    assert answers == ["NVMLError_InvalidArgument", "NVMLError_NotFound"]


def test_trace_without_a_gpu_is_a_driver_without_a_gpu(rig: Rig) -> None:
    assert rig.ask([], "nvmlDeviceGetCount()") == [0]


def test_two_gpus_with_one_uuid_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its own uuid"):
        fake_nvml.write_trace(tmp_path / "trace", [FakeGpu(), FakeGpu()])


def test_every_other_reader_of_the_binding_gets_its_answer(rig: Rig) -> None:
    expected: dict[str, object] = {
        "nvmlSystemGetDriverVersion()": "580.00.01",
        "nvmlSystemGetNVMLVersion()": "13.580.00.01",
        "nvmlSystemGetCudaDriverVersion()": 13000,
        "nvmlSystemGetCudaDriverVersion_v2()": 13000,
        "nvmlErrorString(15)": "GPU is lost",
        "nvmlErrorString(-1)": "Unknown Error",
        "nvmlDeviceGetVbiosVersion(gpu(0))": "96.00.00.00.01",
        "nvmlDeviceGetArchitecture(gpu(0)) == NVML_DEVICE_ARCH_HOPPER": True,
        "nvmlDeviceGetCudaComputeCapability(gpu(0))": [9, 0],
        "nvmlDeviceGetEnforcedPowerLimit(gpu(0))": 550_500,
        "nvmlDeviceGetPowerManagementLimit(gpu(0))": 550_500,
        "nvmlDeviceGetPowerManagementDefaultLimit(gpu(0))": 700_000,
        "nvmlDeviceGetPowerManagementLimitConstraints(gpu(0))": [200_000, 700_000],
        "nvmlDeviceGetSupportedClocksEventReasons(gpu(0))": 0x1FF,
        "nvmlDeviceGetTemperature(gpu(0), NVML_TEMPERATURE_GPU)": 61,
        "nvmlDeviceGetTemperatureV(gpu(0), NVML_TEMPERATURE_GPU)": 61,
        "nvmlDeviceGetTemperature(gpu(0), 7)": "NVMLError_InvalidArgument",
        "nvmlDeviceGetClockInfo(gpu(0), NVML_CLOCK_SM)": 1980,
        "nvmlDeviceGetMaxClockInfo(gpu(0), NVML_CLOCK_MEM)": 3201,
        "nvmlDeviceGetApplicationsClock(gpu(0), NVML_CLOCK_GRAPHICS)": 1980,
        "nvmlDeviceGetClockInfo(gpu(0), 4)": "NVMLError_InvalidArgument",
        "nvmlDeviceGetPerformanceState(gpu(0))": 0,
        "nvmlDeviceGetPersistenceMode(gpu(0))": 1,
        "nvmlDeviceGetMigMode(gpu(0))": [0, 0],
        "nvmlDeviceGetEccMode(gpu(0))": [1, 1],
        "nvmlDeviceGetComputeMode(gpu(0)) == NVML_COMPUTEMODE_DEFAULT": True,
        "nvmlDeviceGetUtilizationRates(gpu(0)).gpu": 50,
        "nvmlDeviceGetUtilizationRates(gpu(0)).memory": 25,
        "nvmlDeviceGetMemoryInfo(gpu(0)).total": 141 << 30,
        "nvmlDeviceGetMemoryInfo(gpu(0)).used": 2 << 30,
        "nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2).reserved": 1 << 30,
        "nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2).used": 1 << 30,
        "nvmlDeviceGetMemoryInfo(gpu(0), 1)": "NVMLError_ArgumentVersionMismatch",
        "nvmlDeviceGetComputeRunningProcesses(gpu(0))": [],
        "nvmlDeviceGetGraphicsRunningProcesses(gpu(0))": [],
        "nvmlDeviceGetVirtualizationMode(gpu(0))": 0,
        "nvmlDeviceGetC2cModeInfoV(gpu(0)).isC2cEnabled": 0,
    }
    gpu = FakeGpu(points=((0.0, 275.25),), power_limit_w=550.5, temperature_c=61.0)
    answers = rig.ask(gpu, *expected)
    assert dict(zip(expected, answers, strict=True)) == expected


def test_mig_mode_shows_and_hides_utilization(rig: Rig) -> None:
    answers = rig.ask(
        FakeGpu(mig=True), "nvmlDeviceGetMigMode(gpu(0))", "nvmlDeviceGetUtilizationRates(gpu(0))"
    )
    assert answers == [[1, 1], "NVMLError_NotSupported"]


def test_persistence_and_virtualization_are_those_of_the_trace(rig: Rig) -> None:
    answers = rig.ask(
        FakeGpu(persistence=False, virtualization=2),
        "nvmlDeviceGetPersistenceMode(gpu(0))",
        "nvmlDeviceGetVirtualizationMode(gpu(0)) == NVML_GPU_VIRTUALIZATION_MODE_VGPU",
    )
    assert answers == [0, True]


def test_processes_come_and_go_each_in_its_own_list(rig: Rig) -> None:
    there = (Process(11, 2 << 30), Process(12, 3 << 30, t0_s=2.0, t1_s=3.0))
    drawing = tuple(Process(pid, graphics=True) for pid in range(21, 29))
    lists = [
        f"(at({t_s}), [(p.pid, p.usedGpuMemory) for p in nvmlDeviceGet{kind}RunningProcesses(g)])[1]"
        for kind in ("Compute", "Graphics")
        for t_s in (1.0, 2.0, 3.0)
    ]
    answers = rig.ask(
        [FakeGpu(processes=there + drawing), FakeGpu(uuid=OTHER_UUID)],
        "globals().update(g=gpu(0))",
        *lists,
        "nvmlDeviceGetComputeRunningProcesses(gpu(1))",
    )
    lone, both = [[11, 2 << 30]], [[11, 2 << 30], [12, 3 << 30]]
    drawn = [[pid, 1 << 30] for pid in range(21, 29)]
    assert answers[1:] == [lone, both, lone, drawn, drawn, drawn, []]


def test_temperature_moves_in_straight_lines_between_its_points(rig: Rig) -> None:
    gpu = FakeGpu(temperatures=((1.0, 40.0), (3.0, 60.0), (4.0, 50.0)))
    kind = "NVML_TEMPERATURE_GPU"
    reads = [
        f"(at({t_s}), nvmlDeviceGetTemperature(gpu(0), {kind}), "
        f"nvmlDeviceGetTemperatureV(gpu(0), {kind}))[1:]"
        for t_s in (0.0, 1.5, 3.0, 3.5, 9.0)
    ]
    assert rig.ask(gpu, *reads) == [[c, c] for c in (40, 45, 60, 55, 50)]


def test_nothing_answers_before_init_or_after_the_last_shutdown(rig: Rig) -> None:
    fake_nvml.write_trace(rig.trace, [FakeGpu()])
    count = "nvmlDeviceGetCount()"
    name = "nvmlDeviceGetName(g)"  # a handle from before must not outlive the shutdown
    balanced = ["nvmlInit()", "nvmlInit()", "globals().update(g=gpu(0))", "nvmlShutdown()", count]
    done = rig.run(
        ["fake.nvmlShutdown()", *balanced, "nvmlShutdown()", count, name, "nvmlInit()", name]
    )
    gone = "NVMLError_Uninitialized"
    expected = [1, None, None, None, None, 1, None, gone, gone, None, "Fake H200"]
    assert json.loads(done.stdout) == expected


# ---- Energy ----


def test_two_seconds_at_300_watts_are_exactly_600_000_millijoules(rig: Rig) -> None:
    start, end, truth_j = rig.ask(
        FakeGpu(points=((0.0, 300.0),)), *energies([3.0, 5.0]), "truth(0, 3.0, 5.0)"
    )
    assert end - start == 600_000
    assert truth_j == 600.0


def test_counter_steps_only_at_its_period_and_phase(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 200.0),), counter_phase_s=0.03, counter_initial_mj=7_000_000)
    times_s = [1.0, 1.029, 1.03, 1.031, 1.129, 1.13, 1.229]
    readings = [reading - 7_000_000 for reading in rig.ask(gpu, *energies(times_s))]
    assert readings == [186_000, 186_000, 206_000, 206_000, 206_000, 226_000, 226_000]


@pytest.mark.parametrize("period_s", [0.01, 0.02, 0.1, 0.106, 0.5])
def test_counter_shows_the_true_energy_at_every_update_instant(rig: Rig, period_s: float) -> None:
    # k * 0.1 is rarely a round number in binary; no update may come one period late for that.
    gpu = FakeGpu(points=((0.0, 250.0),), counter_period_s=period_s, counter_initial_mj=0)
    times_s = [round(k * period_s, 3) for k in range(60)]
    assert rig.ask(gpu, *energies(times_s)) == [round(250_000 * t_s) for t_s in times_s]


def test_gain_error_of_the_counter_leaves_the_truth_alone(rig: Rig) -> None:
    start, end, truth_j = rig.ask(
        FakeGpu(counter_gain=1.05), *energies([0.0, 10.0]), "truth(0, 0.0, 10.0)"
    )
    assert (end - start, truth_j) == (1_050_000, 1000.0)


def test_jittered_counter_updates_off_its_grid_and_is_exact_at_each_update(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 1000.0),), counter_initial_mj=0, counter_jitter_s=0.03)
    times_s = [round(1 + 0.001 * k, 3) for k in range(2000)]
    first, second = (rig.ask(gpu, *energies(times_s)) for _ in range(2))
    assert first == second, "another process sees other updates"
    changes = [i for i in range(1, len(first)) if first[i] != first[i - 1]]
    # At 1000 W the counter shows the microsecond of its update, just before the first read of it.
    assert all(0 <= 1e6 * times_s[i] - first[i] <= 1000 for i in changes)
    gaps_s = [(b - a) * 0.001 for a, b in pairwise(changes)]
    assert 0.04 - 0.001 <= min(gaps_s) < 0.08
    assert 0.12 < max(gaps_s) <= 0.16 + 0.001
    offsets_s = [times_s[i] - 0.1 * round(times_s[i] / 0.1) for i in changes]
    assert max(map(abs, offsets_s)) <= 0.03 + 0.001
    assert min(offsets_s) < -0.01
    assert max(offsets_s) > 0.01


def test_stall_of_a_jittered_counter_shows_the_last_update_before_it(rig: Rig) -> None:
    points = ((0.0, 1000.0),)
    free = FakeGpu(points=points, counter_initial_mj=0, counter_jitter_s=0.04)
    stuck = replace(free, stalls=((2.0, 3.0),))
    [before] = rig.ask(free, "energy(1.9999)")
    readings = rig.ask(stuck, *energies([1.9999, 2.0, 2.5, 2.99, 3.2]))
    assert readings[:4] == [before] * 4
    assert readings[4] > 3_000_000


def test_counter_shows_whole_multiples_of_its_quantum(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 123.0),), counter_initial_mj=1000, counter_quantum_mj=1000)
    assert rig.ask(gpu, *energies([0.0, 0.1, 0.5, 1.0])) == [1000, 13_000, 63_000, 124_000]


def test_counter_keeps_all_64_bits(rig: Rig) -> None:
    initial_mj = 2**53 - 10_000_000
    assert rig.ask(FakeGpu(counter_initial_mj=initial_mj), "energy(1.0)") == [initial_mj + 100_000]


def test_python_reference_agrees_with_sums_done_by_hand() -> None:
    step = FakeGpu(points=((1.0, 100.0), (2.0, 400.0)))
    assert true_energy_j(step, 0.0, 3.0) == 600.0
    assert true_energy_j(step, -1.0, 1.5) == 250.0
    ramp = FakeGpu(points=((0.0, 100.0), (2.0, 300.0)), linear=True)
    assert true_energy_j(ramp, 0.0, 2.0) == 400.0
    assert true_energy_j(ramp, 1.0, 3.0) == 250.0 + 300.0
    square = FakeGpu(points=((0.0, 500.0), (0.25, 100.0)), repeat_s=1.0)
    assert true_energy_j(square, 0.5, 3.5) == 3 * 200.0
    assert true_energy_j(square, 1.125, 1.125) == 0.0


def test_energy_of_a_linear_ramp_is_the_closed_form(rig: Rig) -> None:
    ramp = FakeGpu(points=((1.0, 100.0), (5.0, 700.0)), linear=True)
    start, middle, end = rig.ask(ramp, *energies([1.0, 3.0, 7.0]))
    assert middle - start == 1000 * true_energy_j(ramp, 1.0, 3.0) == 500_000
    assert end - middle == 1000 * true_energy_j(ramp, 3.0, 7.0) == 1_100_000 + 1_400_000


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("repeat_s", [0.0, 2.5])
def test_library_and_python_agree_on_random_traces(rig: Rig, linear: bool, repeat_s: float) -> None:
    rng = random.Random(20)
    times_s = sorted(rng.uniform(0.0, 2.5) for _ in range(12))
    points = tuple((t_s, rng.uniform(60.0, 700.0)) for t_s in times_s)
    gpu = FakeGpu(points=points, linear=linear, repeat_s=repeat_s, counter_period_s=0.13)
    windows_s = [sorted((rng.uniform(-3.0, 9.0), rng.uniform(-3.0, 9.0))) for _ in range(50)]
    truths_j = rig.ask(gpu, *(f"truth(0, {t0!r}, {t1!r})" for t0, t1 in windows_s))
    expected_j = [true_energy_j(gpu, t0, t1) for t0, t1 in windows_s]
    assert truths_j == pytest.approx(expected_j, rel=1e-12, abs=1e-9)

    reads_s = [t1 for _, t1 in windows_s if t1 > 0]
    updates_s = [0.13 * math.floor(t_s / 0.13) for t_s in reads_s]
    counter_mj = rig.ask(gpu, *energies(reads_s))
    expected_mj = [10**9 + 1000 * true_energy_j(gpu, 0.0, t_s) for t_s in updates_s]
    assert counter_mj == pytest.approx(expected_mj, rel=0, abs=0.6)  # rounded to whole millijoules


# ---- Power ----


def test_instant_power_is_ahead_of_the_one_second_average(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 100.0), (2.0, 300.0)))
    average, instant = 185, 186
    answers = rig.ask(
        gpu,
        *(f"fields({t_s}, {average}, {instant})" for t_s in (1.99, 2.5, 2.59, 2.6, 3.0)),
        "(at(2.5), nvmlDeviceGetPowerUsage(gpu(0)))[1]",
    )
    assert answers == [
        [100_000, 100_000],
        [200_000, 300_000],
        [200_000, 300_000],  # no update since 2.5 s
        [220_000, 300_000],
        [300_000, 300_000],
        200_000,  # the plain power draw is the average
    ]


def test_instant_power_without_a_window_is_the_power_of_its_update_instant(rig: Rig) -> None:
    # In binary, 11 * 0.03 lies just below 0.33; the update must still see what begins at 0.33.
    once = FakeGpu(points=((0.0, 500.0), (0.33, 100.0)), power_period_s=0.03, instant_window_s=0.0)
    assert rig.ask(once, *(f"fields({t_s}, 186)[0]" for t_s in (0.32, 0.33))) == [500_000, 100_000]
    again = FakeGpu(
        points=((0.0, 500.0), (0.1, 100.0)),
        repeat_s=0.33,
        power_period_s=0.03,
        instant_window_s=0.0,
    )
    answers = rig.ask(again, *(f"fields({t_s}, 186)[0]" for t_s in (0.09, 0.12, 0.33, 0.45)))
    assert answers == [500_000, 100_000, 500_000, 100_000]


def test_ring_holds_120_samples_whose_sum_is_the_true_energy(rig: Rig) -> None:
    ramp = FakeGpu(points=((0.0, 100.0), (10.0, 600.0)), linear=True, sample_period_s=0.02)
    [entries] = rig.ask(ramp, "ring(5.005)")
    assert len(entries) == 120
    stamps_us = [stamp_us for stamp_us, _ in entries]
    assert {b - a for a, b in pairwise(stamps_us)} <= {19_999, 20_000, 20_001}
    joules = sum(0.02 * mw / 1000 for _, mw in entries)
    assert joules == pytest.approx(true_energy_j(ramp, 2.6, 5.0), rel=1e-6)


def test_ring_is_read_on_from_the_last_sample_seen(rig: Rig) -> None:
    gpu = FakeGpu(sample_period_s=0.1)
    answers = rig.ask(
        gpu,
        "globals().update(last=ring(5.0)[-1][0])",
        "[(t - last) / 1e6 for t, _ in ring(5.35, last)]",
        "(at(5.05), nvmlDeviceGetSamples(gpu(0), NVML_TOTAL_POWER_SAMPLES, last))",
        "nvmlDeviceGetSamples(gpu(0), NVML_GPU_UTILIZATION_SAMPLES, 0)",
        "[f.timestamp - ring(5.0)[-1][0] for f in (at(5.0), "
        "nvmlDeviceGetFieldValues(gpu(0), [186]))[1]]",
    )
    assert answers[1] == pytest.approx([0.1, 0.2, 0.3], abs=2e-6)  # whole microseconds
    assert answers[2:4] == ["NVMLError_NotFound", "NVMLError_NotSupported"]
    assert answers[4] == [0]  # both stamps are of one clock


def test_module_and_memory_power_are_there_where_the_trace_has_them(rig: Rig) -> None:
    plain = FakeGpu(points=((0.0, 300.0),))
    scopes = "fields(2.0, *((field, scope) for field in (185, 186) for scope in range(4)))"
    coupled = "nvmlDeviceGetC2cModeInfoV(gpu(0)).isC2cEnabled"
    refused = f"error {NOT_SUPPORTED}"
    assert rig.ask(plain, scopes)[0] == [300_000, refused, refused, refused] * 2
    whole = replace(plain, module_w=150.0, memory_share=0.25)
    answers = rig.ask(whole, scopes, coupled, "fields(2.0, (83, 1))")
    assert answers[0] == [300_000, 450_000, 75_000, refused] * 2
    assert answers[1:] == [1, [refused]]


# ---- Field values ----


def test_one_field_call_answers_each_field_with_its_own_return_code(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 300.0),), counter_initial_mj=0, faults=(Fault("field:185", 999),))
    values, n_calls = rig.ask(
        gpu,
        "fields(2.0, 83, 186, 185, 191, 74, 75, 82, 250, (186, 1))",
        "calls('nvmlDeviceGetFieldValues')",
    )
    refused = f"error {NOT_SUPPORTED}"
    assert values == [600_000, 300_000, "error 999", 600_000, 0, 0, refused, refused, refused]
    assert n_calls == 1


def test_fields_of_one_call_carry_one_timestamp_on_the_wall_clock(rig: Rig) -> None:
    stamps = "[f.timestamp for f in nvmlDeviceGetFieldValues(gpu(0), [83, 186])]"
    before_us = time.time() * 1e6
    first, later = rig.ask(FakeGpu(), f"(at(0.0), {stamps})[1]", f"(at(2.0), {stamps})[1]")
    assert first[0] == first[1]
    assert later[0] - first[0] == 2_000_000
    assert abs(first[0] - before_us) < 60e6  # time 0 is when `environment` was called


# ---- Throttling ----


def test_short_throttle_is_missed_by_the_bitmask_and_caught_by_the_counters(rig: Rig) -> None:
    gpu = FakeGpu(throttles=(Throttle(1.02, 1.07, 0x4), Throttle(1.05, 1.06, 0x40)))
    reasons = "nvmlDeviceGetCurrentClocksEventReasons(gpu(0))"
    old_reasons = "nvmlDeviceGetCurrentClocksThrottleReasons(gpu(0))"
    answers = rig.ask(
        gpu,
        f"(fields(1.0, 74, 75), {reasons})",
        f"(fields(1.1, 74, 75), {reasons})",
        f"(fields(1.055, 74, 75), {reasons}, {old_reasons})",
    )
    assert answers == [
        [[0, 0], 0],
        [[50_000_000, 10_000_000], 0],
        [[35_000_000, 5_000_000], 0x44, 0x44],
    ]


def test_reasons_that_no_counter_knows_only_show_in_the_bitmask(rig: Rig) -> None:
    gpu = FakeGpu(throttles=(Throttle(0.0, 5.0, 0x1 | 0x8),))
    answers = rig.ask(
        gpu, "fields(5.0, 74, 75)", "(at(4.0), nvmlDeviceGetCurrentClocksEventReasons(gpu(0)))[1]"
    )
    assert answers == [[0, 0], 9]


def test_throttling_halves_the_processor_clock_but_not_the_memory_clock(rig: Rig) -> None:
    gpu = FakeGpu(throttles=(Throttle(1.0, 2.0, 0x20),))
    clocks = "[nvmlDeviceGetClockInfo(gpu(0), c) for c in (NVML_CLOCK_SM, NVML_CLOCK_MEM)]"
    answers = rig.ask(gpu, f"(at(1.5), {clocks})[1]", f"(at(2.0), {clocks})[1]")
    assert answers == [[990, 3201], [1980, 3201]]


# ---- Faults ----


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (2, "NVMLError_InvalidArgument"),
        (3, "NVMLError_NotSupported"),
        (15, "NVMLError_GpuIsLost"),
        (27, "NVMLError_NotReady"),
        (999, "NVMLError_Unknown"),
    ],
)
def test_faulty_function_returns_its_code_from_begin_to_before_end(
    rig: Rig, code: int, error: str
) -> None:
    fault = Fault("nvmlDeviceGetTotalEnergyConsumption", code, 2.0, 3.0)
    gpu = FakeGpu(counter_initial_mj=0, faults=(fault,))
    answers = rig.ask(gpu, *energies([1.999, 2.0, 2.999, 3.0]), "fields(2.5, 83)")
    # Field 83 is another door to the same counter, and still open.
    assert answers == [190_000, error, error, 300_000, [250_000]]


def test_faulty_field_leaves_the_other_fields_and_times_alone(rig: Rig) -> None:
    gpu = FakeGpu(faults=(Fault("field:83", GPU_IS_LOST, 1.0, 2.0),), counter_initial_mj=0)
    answers = rig.ask(gpu, *(f"fields({t_s}, 83, 186)" for t_s in (0.5, 1.0, 2.0)))
    assert answers == [[50_000, 100_000], [f"error {GPU_IS_LOST}", 100_000], [200_000, 100_000]]


def test_lost_gpu_fails_every_call_and_spares_its_neighbour(rig: Rig) -> None:
    lost = FakeGpu(faults=(Fault("*", GPU_IS_LOST, 5.0, math.inf),))
    answers = rig.ask(
        [lost, FakeGpu(uuid=OTHER_UUID, counter_initial_mj=0)],
        "globals().update(g=gpu(0))",
        "(at(4.9), nvmlDeviceGetName(g))[1]",
        "(at(5.0), nvmlDeviceGetName(g))[1]",
        "nvmlDeviceGetFieldValues(g, [83])",
        "gpu(0)",
        f"nvmlDeviceGetHandleByUUID({lost.uuid!r})",
        "nvmlDeviceGetCount()",
        "energy(6.0, index=1)",
    )
    gone = "NVMLError_GpuIsLost"
    assert answers == [None, "Fake H200", gone, gone, gone, gone, 2, 600_000]


def test_init_can_fail_for_a_while(rig: Rig) -> None:
    fault = Fault("nvmlInitWithFlags", 9, 0.0, 1000.0)
    fake_nvml.write_trace(rig.trace, [FakeGpu(faults=(fault,))])
    done = rig.run(["nvmlInit()", "nvmlDeviceGetCount()", "at(1000.0)", "nvmlInit()"])
    errors = ["NVMLError_DriverNotLoaded", "NVMLError_Uninitialized"]
    assert json.loads(done.stdout) == [*errors, None, None]


def test_missing_function_is_not_found_while_others_answer(rig: Rig) -> None:
    gpu = FakeGpu(missing=("nvmlDeviceGetTemperatureV", "nvmlSystemGetDriverVersion"))
    answers = rig.ask(
        gpu,
        "nvmlDeviceGetTemperatureV(gpu(0), 0)",
        "nvmlSystemGetDriverVersion()",
        "nvmlDeviceGetTemperature(gpu(0), 0)",
    )
    assert answers == ["NVMLError_FunctionNotFound", "NVMLError_FunctionNotFound", 45]


def test_call_fault_hits_exactly_the_calls_it_names(rig: Rig) -> None:
    energy_calls = CallFault("nvmlDeviceGetTotalEnergyConsumption", 999, 2, 3)
    field_calls = CallFault("field:83", 999, 2, 2)
    gpu = FakeGpu(counter_initial_mj=0, call_faults=(energy_calls, field_calls))
    answers = rig.ask(gpu, *energies([1.0] * 4), *["fields(1.0, 83, 186)"] * 3)
    assert answers[:4] == [100_000, "NVMLError_Unknown", "NVMLError_Unknown", 100_000]
    good = [100_000, 100_000]
    assert answers[4:] == [good, ["error 999", 100_000], good]


def test_stalled_counter_stands_still_and_then_catches_up(rig: Rig) -> None:
    gpu = FakeGpu(counter_initial_mj=0, stalls=((1.0, 2.0), (2.05, 2.15)))
    times_s = [0.95, 1.0, 1.5, 1.95, 2.0, 2.1, 2.19, 2.2]
    readings = rig.ask(gpu, *energies(times_s), "fields(1.5, 83, 191, 186)")
    stood_mj = 90_000
    assert readings[:4] == [stood_mj] * 4
    assert readings[4:8] == [200_000, 200_000, 200_000, 220_000]
    assert readings[8] == [stood_mj, stood_mj, 100_000]  # power is another sensor


def test_stall_swallows_the_update_at_its_very_begin(rig: Rig) -> None:
    # In binary, 11 * 0.03 lies just below 0.33.
    gpu = FakeGpu(counter_initial_mj=0, counter_period_s=0.03, stalls=((0.33, 0.4),))
    assert rig.ask(gpu, *energies([0.32, 0.35, 0.42])) == [30_000, 30_000, 42_000]


def test_stalls_that_touch_are_one_stall_in_either_order(rig: Rig) -> None:
    for stalls in (((1.0, 2.0), (2.0, 3.0)), ((2.0, 3.0), (1.0, 2.0))):
        gpu = FakeGpu(counter_initial_mj=0, stalls=stalls)
        assert rig.ask(gpu, *energies([2.5, 3.0])) == [90_000, 300_000]


def test_reset_counter_starts_again_from_zero(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 300.0),), resets=(4.0, 2.05))
    readings = rig.ask(gpu, *energies([2.04, 2.06, 2.1, 3.0, 4.0, 4.5]))
    assert readings == [1_000_600_000, 0, 15_000, 285_000, 0, 150_000]


def test_latency_moves_the_virtual_clock_and_comes_before_the_reading(rig: Rig) -> None:
    gpu = FakeGpu(counter_initial_mj=0, latency_us=1000, latency_spikes=((500_000, 2.0, 3.0),))
    answers = rig.ask(
        gpu,
        "globals().update(g=gpu(0))",
        "(at(1.0), nvmlDeviceGetName(g), now())[2]",
        "(at(2.0), nvmlDeviceGetTotalEnergyConsumption(g), now())[1:]",
        "(at(2.0), nvmlDeviceGetFieldValues(g, [83])[0].latencyUsec)[1]",
    )
    assert answers[1] == pytest.approx(1.001)
    assert answers[2] == [250_000, pytest.approx(2.501)]
    assert answers[3] == 501_000


def test_latency_takes_real_time_on_the_real_clock(rig: Rig) -> None:
    seconds_of_a_read = "timed(lambda: nvmlDeviceGetPowerUsage(gpu(0)))"
    slow, quick = FakeGpu(latency_us=300_000), FakeGpu()
    assert rig.ask(slow, seconds_of_a_read)[0] >= 0.3
    assert rig.ask(quick, seconds_of_a_read)[0] < 0.3


def test_calls_are_counted_by_name_failed_ones_included(rig: Rig) -> None:
    gpu = FakeGpu(faults=(Fault("nvmlDeviceGetPowerUsage", 3),))
    read = "nvmlDeviceGetPowerUsage(gpu(0))"
    answers = rig.ask(
        gpu, read, read, *(f"calls({name!r})" for name in ("nvmlDeviceGetPowerUsage", "nvmlX"))
    )
    assert answers[2:] == [2, 0]


# ---- The real clock ----


def test_counter_of_the_real_clock_follows_the_truth(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 400.0),), counter_period_s=0.01)
    read = "(now(), nvmlDeviceGetTotalEnergyConsumption(gpu(0)), now())"
    first, _, last = rig.ask(gpu, read, "time.sleep(0.3)", read)
    measured_j = (last[1] - first[1]) / 1000
    slack_j = 400 * 0.01  # one counter period at an edge
    assert true_energy_j(gpu, first[2], last[0]) - slack_j <= measured_j
    assert measured_j <= true_energy_j(gpu, first[0], last[2]) + slack_j


def test_processes_with_one_epoch_share_one_time(rig: Rig) -> None:
    shared = Rig(rig.library, rig.trace, {"LLEM_FAKE_NVML_EPOCH": repr(time.monotonic() - 5000)})
    [first] = shared.ask(FakeGpu(), "now()")
    [second] = shared.ask(FakeGpu(), "now()")
    assert 5000 < first < second < 5060


def test_without_an_epoch_time_begins_at_the_first_init(rig: Rig) -> None:
    fake_nvml.write_trace(rig.trace, [FakeGpu()])
    variables = os.environ | fake_nvml.environment(rig.library, rig.trace)
    del variables["LLEM_FAKE_NVML_EPOCH"]
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps(["time.sleep(0.5)", "nvmlInit()", "now()"]),
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 <= json.loads(done.stdout)[2] < 0.5


# ---- The traces and the faults of the benchmarks ----


def test_every_benchmark_trace_and_fault_is_one_that_the_library_takes(rig: Rig) -> None:
    gpus = [*TRACES.values(), blocks().gpu, blocks(tail_s=0.4).gpu]
    gpus += [gpu for one in (HEALTHY, *FAULTS) for gpu in one.gpus]
    for some in (gpus[:16], gpus[16:]):  # as many as fit
        named = [replace(gpu, uuid=f"GPU-{i}") for i, gpu in enumerate(some)]
        fake_nvml.write_trace(rig.trace, named)
        done = rig.run(["at(5.0)", "nvmlInit()"])
        assert done.stderr == ""
    assert len(FAULTS) == len({one.name for one in FAULTS}) == 12


def test_isolated_blocks_have_quiet_edges_and_a_tail_of_its_energy() -> None:
    plain, tailed = blocks(), blocks(tail_s=0.4)
    assert len(plain.windows) == 27
    assert plain.windows == tailed.windows
    for (_, t1), (next_t0, _) in pairwise(plain.windows):
        assert 1.5 <= next_t0 - t1 <= 2.5
        over_j = true_energy_j(plain.gpu, t1, t1 + 0.4) - 0.4 * plain.idle_w
        assert abs(over_j) < 0.01 * 0.4 * plain.idle_w + 0.001
        # An exponential with a time constant of 0.1 s, over 325 W: 32.5 J, less what is cut off.
        assert true_energy_j(tailed.gpu, t1, t1 + 0.4) - 0.4 * plain.idle_w == pytest.approx(
            32.4, abs=0.2
        )


def test_random_windows_stay_in_their_span_and_are_no_multiples_of_an_update() -> None:
    windows = random_windows(1.0, 500, start_s=3.0, span_s=20.0)
    assert windows == random_windows(1.0, 500, start_s=3.0, span_s=20.0)
    assert windows != random_windows(1.0, 500, start_s=3.0, span_s=20.0, seed=1)
    assert min(t0 for t0, _ in windows) >= 3.0
    assert max(t1 for _, t1 in windows) <= 23.0
    assert len({round(t1 - t0, 3) for t0, t1 in windows}) > 100


@pytest.mark.parametrize(
    ("value_j", "flagged", "worth"),
    [
        (1049.0, False, "correct"),
        (951.0, True, "correct"),
        (1051.0, False, "wrong"),
        (0.0, False, "wrong"),
        (0.0, True, "flagged"),
        (None, False, "flagged"),
    ],
)
def test_a_value_is_correct_flagged_or_wrong_in_silence(
    value_j: float | None, flagged: bool, worth: str
) -> None:
    assert verdict(value_j, 1000.0, flagged=flagged) == worth


# ---- Traces that make no sense, and the way in ----


@pytest.mark.parametrize(
    ("trace", "complaint"),
    [
        ("point 0 100\n", "1: expected `gpu`"),
        ("gpu 1\npoint 0 100\n", "1: expected `gpu` alone"),
        ("gpu\n", "1: a GPU has no point"),
        ("gpu\n# a comment\n\npoint 0 100 3\n", "4: unknown statement"),
        ("gpu\npoint 0 watts\n", "2: unknown statement"),
        ("gpu\npoint 0 100W\n", "2: unknown statement"),
        ("gpu\npoint nan 100\n", "2: unknown statement"),
        ("gpu\npoint 0 -1\n", "2: points need"),
        ("gpu\npoint 1 100\npoint 1 200\n", "3: points need"),
        ("gpu\npoint 0 100\nwatts 3\n", "3: unknown statement"),
        ("gpu\npoint 0 100\ncounter 0.1 0 0\n", "3: unknown statement"),
        ("gpu\npoint 0 100\ncounter 0 0 0 1\n", "3: periods must be above 0"),
        ("gpu\npoint 0 100\npower 0.1 -1 0\n", "3: periods must be above 0"),
        ("gpu\npoint 0 100\nrepeat inf\n", "3: expected a finite number"),
        ("gpu\npoint 0 100\npoint 2 100\nrepeat 1\n", "4: with repeat"),
        ("gpu\npoint 0 100\nshape curved\n", "3: expected step or linear"),
        ("gpu\npoint 0 100\nname\n", "3: expected a text"),
        ("gpu\npoint 0 100\nstall 2 1\n", "3: an interval must end"),
        ("gpu\npoint 0 100\nfault nvmlDeviceGetPowerUsge 3 0 1\n", "3: this fake has no such"),
        ("gpu\npoint 0 100\nfault printf 3 0 1\n", "3: this fake has no such"),
        ("gpu\npoint 0 100\nfault field:83x 3 0 1\n", "3: this fake has no such"),
        ("gpu\npoint 0 100\nfault field:83 0 0 1\n", "3: expected: fault FUNCTION"),
        ("gpu\npoint 0 100\nmissing nvmlDeviceGetFanSpeed\n", "3: this fake has no such"),
        ("gpu\npoint 0 100\nmissing nvmlDeviceGetName 3\n", "3: expected: missing FUNCTION"),
        ("gpu\npoint 0 100\nfault_call nvmlDeviceGetName 3 2 1\n", "3: an interval must end"),
        ("gpu\npoint 0 100\ncounter_jitter 0.05\n", "3: the jitter"),
        ("gpu\npoint 0 100\ncounter_quantum 0.5\n", "3: the quantum"),
        ("gpu\npoint 0 100\nsamples 0\n", "3: periods must be above 0"),
        ("gpu\npoint 0 100\ntemperature 1 40\ntemperature 0 50\n", "4: points need"),
        ("gpu\npoint 0 100\nprocess 0 4096\n", "3: unknown statement"),
        ("gpu\npoint 0 100\nprocess 9 4096 2 1\n", "3: an interval must end"),
    ],
)
def test_malformed_trace_fails_init_with_one_line_that_names_the_place(
    rig: Rig, trace: str, complaint: str
) -> None:
    rig.trace.write_text(trace)
    done = rig.run(["nvmlInit()", "nvmlDeviceGetCount()"])
    assert json.loads(done.stdout) == ["NVMLError_Unknown", "NVMLError_Uninitialized"]
    assert done.stderr.startswith(f"fake_nvml: {rig.trace}:{complaint}")
    assert done.stderr.count("\n") == 1


def test_mended_trace_is_read_by_the_next_init(rig: Rig) -> None:
    rig.trace.write_text("gpu\npoint 0 100\ngpu\npoint 0 watts\n")
    mend = f"open({str(rig.trace)!r}, 'w').write('gpu\\npoint 0 100\\n')"
    done = rig.run(["nvmlInit()", mend, "nvmlInit()", "nvmlDeviceGetCount()"])
    init, _, later_init, count = json.loads(done.stdout)
    assert (init, later_init, count) == ("NVMLError_Unknown", None, 1)


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"LLEM_FAKE_NVML": "/nowhere/gpus.trace"}, "cannot open the trace"),
        ({"LLEM_FAKE_NVML_EPOCH": "yesterday"}, "LLEM_FAKE_NVML_EPOCH is not a number"),
    ],
)
def test_wrong_environment_fails_init_with_one_line(
    rig: Rig, extra: dict[str, str], complaint: str
) -> None:
    fake_nvml.write_trace(rig.trace, [FakeGpu()])
    done = Rig(rig.library, rig.trace, extra).run(["nvmlInit()"])
    assert json.loads(done.stdout) == ["NVMLError_Unknown"]
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_library_path_of_the_caller_stays_behind_the_fake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/cuda/lib")
    assert fake_nvml.environment(tmp_path, tmp_path / "t")["LD_LIBRARY_PATH"] == (
        f"{tmp_path}:/opt/cuda/lib"
    )
    monkeypatch.delenv("LD_LIBRARY_PATH")
    assert fake_nvml.environment(tmp_path, tmp_path / "t")["LD_LIBRARY_PATH"] == str(tmp_path)


def test_machine_without_a_compiler_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="needs a C compiler"):
        fake_nvml.build(tmp_path)


def test_printed_exports_turn_a_shell_towards_the_demo_gpu(library: Path, tmp_path: Path) -> None:
    python, folder = shlex.quote(sys.executable), shlex.quote(str(tmp_path / "a folder"))
    program = shlex.quote(str(Path(fake_nvml.__file__)))
    ask = (
        "from pynvml import *; nvmlInit(); print(nvmlDeviceGetName(nvmlDeviceGetHandleByIndex(0)))"
    )
    script = f'set -e; eval "$({python} {program} {folder})"; {python} -c {shlex.quote(ask)}'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "Fake H200\n"
