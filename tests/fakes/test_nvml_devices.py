"""The fake driver lists its devices and reports their state."""

import json
from pathlib import Path

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, Process
from fakes.nvml_probe import OTHER_UUID, Rig


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


def test_unknown_index_and_unknown_uuid_are_errors(rig: Rig) -> None:
    answers = rig.ask(FakeGpu(), "gpu(1)", "nvmlDeviceGetHandleByUUID('GPU-unknown')")
    assert answers == ["NVMLError_InvalidArgument", "NVMLError_NotFound"]


def test_empty_trace_is_a_driver_without_gpus(rig: Rig) -> None:
    assert rig.ask([], "nvmlDeviceGetCount()") == [0]


def test_two_gpus_with_the_same_uuid_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a different uuid"):
        fake_nvml.write_trace(tmp_path / "trace", [FakeGpu(), FakeGpu()])


def test_every_other_query_of_the_binding_returns_its_value(rig: Rig) -> None:
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
        "nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2).reserved": 2 << 30,
        "nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2).used": 0,
        "nvmlDeviceGetMemoryInfo(gpu(0), 1)": "NVMLError_ArgumentVersionMismatch",
        "nvmlDeviceGetComputeRunningProcesses(gpu(0))": [],
        "nvmlDeviceGetGraphicsRunningProcesses(gpu(0))": [],
        "nvmlDeviceGetVirtualizationMode(gpu(0))": 0,
        "nvmlDeviceGetC2cModeInfoV(gpu(0)).isC2cEnabled": 0,
    }
    gpu = FakeGpu(points=((0.0, 275.25),), power_limit_w=550.5, temperature_c=61.0)
    answers = rig.ask(gpu, *expected)
    assert dict(zip(expected, answers, strict=True)) == expected


def test_mig_mode_is_reported_and_hides_utilization(rig: Rig) -> None:
    answers = rig.ask(
        FakeGpu(mig=True), "nvmlDeviceGetMigMode(gpu(0))", "nvmlDeviceGetUtilizationRates(gpu(0))"
    )
    assert answers == [[1, 1], "NVMLError_NotSupported"]


def test_persistence_and_virtualization_follow_the_trace(rig: Rig) -> None:
    answers = rig.ask(
        FakeGpu(persistence=False, virtualization=2),
        "nvmlDeviceGetPersistenceMode(gpu(0))",
        "nvmlDeviceGetVirtualizationMode(gpu(0)) == NVML_GPU_VIRTUALIZATION_MODE_VGPU",
    )
    assert answers == [0, True]


def test_application_clocks_and_a_lock_follow_the_trace(rig: Rig) -> None:
    kinds = "(NVML_CLOCK_SM, NVML_CLOCK_MEM)"
    names = ("ApplicationsClock", "DefaultApplicationsClock", "MaxClockInfo", "ClockInfo")
    answers = rig.ask(
        FakeGpu(application_mhz=(1410, 2619, 1755, 3100), locked_mhz=1200),
        *(f"[nvmlDeviceGet{name}(gpu(0), kind) for kind in {kinds}]" for name in names),
        "nvmlDeviceGetApplicationsClock(gpu(0), NVML_CLOCK_VIDEO)",
    )
    assert answers == [
        [1410, 2619], [1755, 3100], [1980, 3201], [1200, 3201], "NVMLError_NotSupported",
    ]  # fmt: skip


def test_processes_are_listed_by_kind_while_they_run(rig: Rig) -> None:
    computing = (Process(11, 2 << 30), Process(12, 3 << 30, t0_s=2.0, t1_s=3.0))
    drawing = tuple(Process(pid, graphics=True) for pid in range(21, 29))
    lists = [
        f"(at({t_s}), [(p.pid, p.usedGpuMemory) for p in nvmlDeviceGet{kind}RunningProcesses(g)])[1]"
        for kind in ("Compute", "Graphics")
        for t_s in (1.0, 2.0, 3.0)
    ]
    answers = rig.ask(
        [FakeGpu(processes=computing + drawing), FakeGpu(uuid=OTHER_UUID)],
        "globals().update(g=gpu(0))",
        *lists,
        "nvmlDeviceGetComputeRunningProcesses(gpu(1))",
    )
    first, both = [[11, 2 << 30]], [[11, 2 << 30], [12, 3 << 30]]
    drawn = [[pid, 1 << 30] for pid in range(21, 29)]
    assert answers[1:] == [first, both, first, drawn, drawn, drawn, []]


def test_temperature_is_linear_between_its_points(rig: Rig) -> None:
    gpu = FakeGpu(temperatures=((1.0, 40.0), (3.0, 60.0), (4.0, 50.0)))
    kind = "NVML_TEMPERATURE_GPU"
    reads = [
        f"(at({t_s}), nvmlDeviceGetTemperature(gpu(0), {kind}), "
        f"nvmlDeviceGetTemperatureV(gpu(0), {kind}))[1:]"
        for t_s in (0.0, 1.5, 3.0, 3.5, 9.0)
    ]
    assert rig.ask(gpu, *reads) == [[c, c] for c in (40, 45, 60, 55, 50)]


def test_every_query_fails_before_init_and_after_the_last_shutdown(rig: Rig) -> None:
    fake_nvml.write_trace(rig.trace, [FakeGpu()])
    count = "nvmlDeviceGetCount()"
    name = "nvmlDeviceGetName(g)"  # a handle is invalid after the shutdown
    balanced = ["nvmlInit()", "nvmlInit()", "globals().update(g=gpu(0))", "nvmlShutdown()", count]
    done = rig.run(
        ["fake.nvmlShutdown()", *balanced, "nvmlShutdown()", count, name, "nvmlInit()", name]
    )
    gone = "NVMLError_Uninitialized"
    expected = [1, None, None, None, None, 1, None, gone, gone, None, "Fake H200"]
    assert json.loads(done.stdout) == expected
