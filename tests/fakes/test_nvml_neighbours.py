"""Other users of a fake GPU are busy, hold memory and may be listed."""

from __future__ import annotations

from fakes.fake_nvml import FakeGpu, Neighbour, Process
from fakes.nvml_probe import Rig

BUSY = "nvmlDeviceGetUtilizationRates(gpu(0)).gpu"
USED = (
    "nvmlDeviceGetMemoryInfo(gpu(0)).used - nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2).reserved"
)
HELD = "nvmlDeviceGetMemoryInfo(gpu(0), nvmlMemory_v2).used"
PIDS = "[each.pid for each in nvmlDeviceGetComputeRunningProcesses(gpu(0))]"


def test_a_scripted_neighbour_is_there_between_its_times(rig: Rig) -> None:
    gpu = FakeGpu(idle_w=150.0, neighbours=(Neighbour(1.0, 2.0, 30, 5),))
    asked = [word for t_s in (0.5, 1.0, 2.0) for word in (f"at({t_s})", BUSY, USED, HELD, PIDS)]
    answers = rig.ask(gpu, *asked)
    assert [answers[i + 1 : i + 5] for i in (0, 5, 10)] == [
        [0, 0, 0, []],
        [30, 5, 5, []],
        [0, 0, 0, []],
    ]


def test_a_gpu_is_busy_by_its_power_above_idle(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 100.0), (1.0, 400.0)), idle_w=100.0, power_limit_w=700.0)
    assert rig.ask(gpu, "at(0.5)", BUSY, "at(1.5)", BUSY)[1::2] == [0, 50]


def test_a_neighbour_that_a_program_sets_is_listed(rig: Rig) -> None:
    setting = "fake.fake_nvml_set_neighbour(0, 4242, 10, ctypes.c_uint64(7))"
    leaving = "fake.fake_nvml_set_neighbour(0, 0, 0, ctypes.c_uint64(0))"
    answers = rig.ask(
        FakeGpu(idle_w=150.0), PIDS, setting, PIDS, BUSY, HELD, leaving, PIDS, BUSY, HELD
    )
    assert answers == [[], 1, [4242], 10, 7, 1, [], 0, 0]


def test_a_neighbour_that_cannot_be_is_refused(rig: Rig) -> None:
    one = "ctypes.c_uint64(1)"
    answers = rig.ask(
        FakeGpu(),
        f"fake.fake_nvml_set_neighbour(1, 1, 1, {one})",
        f"fake.fake_nvml_set_neighbour(0, 1, 101, {one})",
    )
    assert answers == [0, 0]


def test_a_client_of_the_multi_process_service_has_a_list_of_its_own(rig: Rig) -> None:
    clients = "[each.pid for each in nvmlDeviceGetMPSComputeRunningProcesses(gpu(0))]"
    gpu = FakeGpu(processes=(Process(77), Process(4242, mps=True)))
    assert rig.ask(gpu, PIDS, clients) == [[77], [4242]]
