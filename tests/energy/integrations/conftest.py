"""Run a program with one scripted GPU, whose power changes twice a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu, true_energy_j

GPU = FakeGpu(uuid="GPU-trainer", points=((0.0, 200.0), (0.5, 400.0)), repeat_s=1.0)
RunScript = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def calibrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that keeps the calibration, which takes seconds, for all tests."""
    return tmp_path_factory.mktemp("calibrations") / "calibrations.json"


@pytest.fixture
def gpu_env(library: Path, tmp_path: Path, calibrations: Path) -> dict[str, str]:
    fake_nvml.write_trace(tmp_path / "gpus.trace", [GPU])
    driver = fake_nvml.environment(library, tmp_path / "gpus.trace")
    paths = {"LLEM_POWERCAP": str(tmp_path / "absent"), "LLEM_CACHE": str(calibrations)}
    return {**os.environ, **driver, **paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def without_gpu(no_meter: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **no_meter, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def run_script(script: str, folder: Path, env: dict[str, str]) -> dict[str, Any]:
    """Return the JSON object in the last line that a script prints."""
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def true_j(window: dict[str, float], env: dict[str, str]) -> float:
    """Return the true energy between `start_s` and `end_s` of a window."""
    epoch_s = float(env["LLEM_FAKE_NVML_EPOCH"])
    return true_energy_j(GPU, window["start_s"] - epoch_s, window["end_s"] - epoch_s)
