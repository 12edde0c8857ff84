"""The fake driver fails exactly when and as the trace says."""

import json
import math

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import CallFault, FakeGpu, Fault
from fakes.nvml_probe import GPU_IS_LOST, OTHER_UUID, Rig, energies


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
def test_faulty_function_returns_its_code_from_the_start_until_before_the_end(
    rig: Rig, code: int, error: str
) -> None:
    fault = Fault("nvmlDeviceGetTotalEnergyConsumption", code, 2.0, 3.0)
    gpu = FakeGpu(counter_initial_mj=0, faults=(fault,))
    answers = rig.ask(gpu, *energies([1.999, 2.0, 2.999, 3.0]), "fields(2.5, 83)")
    # Field 83 reads the same counter and has no fault.
    assert answers == [190_000, error, error, 300_000, [250_000]]


def test_faulty_field_does_not_affect_other_fields_or_times(rig: Rig) -> None:
    gpu = FakeGpu(faults=(Fault("field:83", GPU_IS_LOST, 1.0, 2.0),), counter_initial_mj=0)
    answers = rig.ask(gpu, *(f"fields({t_s}, 83, 186)" for t_s in (0.5, 1.0, 2.0)))
    assert answers == [[50_000, 100_000], [f"error {GPU_IS_LOST}", 100_000], [200_000, 100_000]]


def test_lost_gpu_fails_every_call_but_other_gpus_answer(rig: Rig) -> None:
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


def test_missing_function_is_not_found_but_others_answer(rig: Rig) -> None:
    gpu = FakeGpu(missing=("nvmlDeviceGetTemperatureV", "nvmlSystemGetDriverVersion"))
    answers = rig.ask(
        gpu,
        "nvmlDeviceGetTemperatureV(gpu(0), 0)",
        "nvmlSystemGetDriverVersion()",
        "nvmlDeviceGetTemperature(gpu(0), 0)",
    )
    assert answers == ["NVMLError_FunctionNotFound", "NVMLError_FunctionNotFound", 45]


def test_call_fault_affects_exactly_the_calls_it_names(rig: Rig) -> None:
    energy_calls = CallFault("nvmlDeviceGetTotalEnergyConsumption", 999, 2, 3)
    field_calls = CallFault("field:83", 999, 2, 2)
    gpu = FakeGpu(counter_initial_mj=0, call_faults=(energy_calls, field_calls))
    answers = rig.ask(gpu, *energies([1.0] * 4), *["fields(1.0, 83, 186)"] * 3)
    assert answers[:4] == [100_000, "NVMLError_Unknown", "NVMLError_Unknown", 100_000]
    good = [100_000, 100_000]
    assert answers[4:] == [good, ["error 999", 100_000], good]


def test_stalled_counter_is_constant_and_then_catches_up(rig: Rig) -> None:
    gpu = FakeGpu(counter_initial_mj=0, stalls=((1.0, 2.0), (2.05, 2.15)))
    times_s = [0.95, 1.0, 1.5, 1.95, 2.0, 2.1, 2.19, 2.2]
    readings = rig.ask(gpu, *energies(times_s), "fields(1.5, 83, 191, 186)")
    stalled_mj = 90_000
    assert readings[:4] == [stalled_mj] * 4
    assert readings[4:8] == [200_000, 200_000, 200_000, 220_000]
    assert readings[8] == [stalled_mj, stalled_mj, 100_000]  # power has its own sensor


def test_stall_drops_the_update_at_its_start(rig: Rig) -> None:
    # In binary, 11 * 0.03 is just below 0.33.
    gpu = FakeGpu(counter_initial_mj=0, counter_period_s=0.03, stalls=((0.33, 0.4),))
    assert rig.ask(gpu, *energies([0.32, 0.35, 0.42])) == [30_000, 30_000, 42_000]


def test_adjacent_stalls_are_one_stall_in_any_order(rig: Rig) -> None:
    for stalls in (((1.0, 2.0), (2.0, 3.0)), ((2.0, 3.0), (1.0, 2.0))):
        gpu = FakeGpu(counter_initial_mj=0, stalls=stalls)
        assert rig.ask(gpu, *energies([2.5, 3.0])) == [90_000, 300_000]


def test_reset_counter_restarts_from_zero(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 300.0),), resets=(4.0, 2.05))
    readings = rig.ask(gpu, *energies([2.04, 2.06, 2.1, 3.0, 4.0, 4.5]))
    assert readings == [1_000_600_000, 0, 15_000, 285_000, 0, 150_000]


def test_latency_moves_the_virtual_clock_before_the_value_is_read(rig: Rig) -> None:
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
    assert rig.ask(FakeGpu(latency_us=300_000), seconds_of_a_read)[0] >= 0.3


def test_calls_are_counted_by_name_including_failed_ones(rig: Rig) -> None:
    gpu = FakeGpu(faults=(Fault("nvmlDeviceGetPowerUsage", 3),))
    read = "nvmlDeviceGetPowerUsage(gpu(0))"
    answers = rig.ask(
        gpu, read, read, *(f"calls({name!r})" for name in ("nvmlDeviceGetPowerUsage", "nvmlX"))
    )
    assert answers[2:] == [2, 0]
