"""Without a virtual clock the fake driver runs in real time."""

import json
import os
import subprocess
import sys
import time

from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, true_energy_j
from fakes.nvml_probe import PROBE, Rig


def test_counter_follows_the_true_energy_in_real_time(rig: Rig) -> None:
    gpu = FakeGpu(points=((0.0, 400.0),), counter_period_s=0.01)
    read = "(now(), nvmlDeviceGetTotalEnergyConsumption(gpu(0)), now())"
    first, _, last = rig.ask(gpu, read, "time.sleep(0.3)", read)
    measured_j = (last[1] - first[1]) / 1000
    slack_j = 400 * 0.01  # one counter period at an edge
    assert true_energy_j(gpu, first[2], last[0]) - slack_j <= measured_j
    assert measured_j <= true_energy_j(gpu, first[0], last[2]) + slack_j


def test_processes_with_the_same_epoch_share_their_time(rig: Rig) -> None:
    shared = Rig(rig.library, rig.trace, {"LLEM_FAKE_NVML_EPOCH": repr(time.monotonic() - 5000)})
    [first] = shared.ask(FakeGpu(), "now()")
    [second] = shared.ask(FakeGpu(), "now()")
    assert 5000 < first < second < 5060


def test_without_an_epoch_time_starts_at_the_first_init(rig: Rig) -> None:
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
