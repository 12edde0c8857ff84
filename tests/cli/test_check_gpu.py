"""`llem-cli doctor --check-gpu`: the check of an energy counter, and where its outcome shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import Run
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, Process

GPU = FakeGpu(uuid="GPU-a", points=((0.0, 80.0),), counter_period_s=0.02, power_period_s=0.02)
# The load of a scripted GPU: it sets the true power. All else is the command as a user runs it.
PROGRAM = """
import ctypes, sys, time
from functools import partial
from llem_cli._commands.doctor import doctor
from llem_energy.doctor import check_gpu
driver = ctypes.CDLL("libnvidia-ml.so.1")
driver.fake_nvml_now.restype = ctypes.c_double
driver.fake_nvml_set_power.argtypes = [ctypes.c_uint, ctypes.c_double, ctypes.c_double]

class Load:
    def run(self, seconds):
        assert driver.fake_nvml_set_power(0, driver.fake_nvml_now(), 600.0)
        time.sleep(seconds)
        assert driver.fake_nvml_set_power(0, driver.fake_nvml_now(), 80.0)

check = partial(check_gpu, load=Load(), steps_s=4.0, place_s=0.2)
sys.exit(doctor(check_gpu=sys.argv[1], json_=True, check=check))
"""


@pytest.fixture
def env(library: Path, tmp_path: Path) -> dict[str, str]:
    return scripted(library, tmp_path, GPU)


def scripted(library: Path, folder: Path, gpu: FakeGpu) -> dict[str, str]:
    fake_nvml.write_trace(folder / "gpus.trace", [gpu])
    driver = fake_nvml.environment(library, folder / "gpus.trace")
    cache = str(folder / "cache" / "calibrations.json")
    return {**driver, "LLEM_POWERCAP": str(folder / "absent"), "LLEM_CACHE": cache}


@pytest.mark.slow  # loads the scripted GPU for 15 s
def test_a_check_is_kept_and_shown_by_every_later_doctor(llem: Run, env: dict[str, str]) -> None:
    before = llem("doctor", **env)
    assert "`llem-cli doctor --check-gpu 0` checks that" in before.stdout
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "0"], env=os.environ | env, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "loading the GPU in steps" in done.stderr
    assert "loading the GPU in step with its counter" in done.stderr
    (gpu,) = json.loads(done.stdout)["gpus"]
    found = gpu["board_check"]
    assert (found["device"], found["driver"]) == ("GPU-a", "580.00.01")
    # Which outcome it is depends on the machine: a busy one starts the loads late.
    assert gpu["counter_exactness"] == found["verdict"] != "unverified"
    (again,) = json.loads(llem("doctor", "--json", **env).stdout)["gpus"]
    assert again["board_check"] == found
    table = llem("doctor", **env).stdout
    assert found["checked_at"][:10] in table
    assert "--check-gpu" not in table


def test_a_gpu_that_others_use_is_not_checked(llem: Run, library: Path, tmp_path: Path) -> None:
    env = scripted(library, tmp_path, FakeGpu(processes=(Process(4242),)))
    done = llem("doctor", "--check-gpu", "0", **env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "GPU 0 is used by other processes (4242)" in done.stderr
    assert not (tmp_path / "cache").exists()


def test_without_cuda_the_check_says_what_it_needs(llem: Run, env: dict[str, str]) -> None:
    done = llem("doctor", "--check-gpu", "all", CUDA_VISIBLE_DEVICES="", **env)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the check loads the GPU with torch, which" in done.stderr


def test_a_wrong_name_of_a_gpu_is_refused(llem: Run, no_meter: dict[str, str]) -> None:
    done = llem("doctor", "--check-gpu", "first", **no_meter)
    assert done.returncode == 2
    assert "expected the index of a GPU, its UUID, or all, found 'first'" in done.stderr
    done = llem("doctor", "--check-gpu", "all", **no_meter)
    assert done.returncode == 2
    assert "found no NVIDIA GPU that responds" in done.stderr
    assert llem("doctor", "--check-gpu", "7", **no_meter).returncode == 1
