"""Start `llem-cli meter` as a user does, on a machine with one scripted GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

GPU = FakeGpu(uuid="GPU-meter", points=((0.0, 150.0), (0.4, 400.0), (0.9, 250.0)), repeat_s=1.0)
Meter = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[Any]"]


@pytest.fixture(scope="session")
def calibrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that keeps the calibration of the GPU, which takes seconds, for all tests."""
    return tmp_path_factory.mktemp("calibrations") / "calibrations.json"


@pytest.fixture
def gpu_env(library: Path, tmp_path: Path, calibrations: Path) -> dict[str, str]:
    """Return the environment of a process with one GPU, whose time 0 is now."""
    fake_nvml.write_trace(tmp_path / "gpus.trace", [GPU])
    driver = fake_nvml.environment(library, tmp_path / "gpus.trace")
    paths = {"LLEM_POWERCAP": str(tmp_path / "absent"), "LLEM_CACHE": str(calibrations)}
    return {**os.environ, **driver, **paths}


@pytest.fixture
def start(tmp_path: Path, gpu_env: dict[str, str]) -> Start:
    """Return a function that starts `llem-cli meter` with arguments."""

    def run(*arguments: str | Path, **options: Any) -> subprocess.Popen[Any]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        settings: dict[str, Any] = {"cwd": tmp_path, "env": gpu_env, **pipes, **options}
        command = [sys.executable, "-m", "llem_cli", "meter", *map(str, arguments)]
        return subprocess.Popen(command, **settings)

    return run


@pytest.fixture
def meter(start: Start) -> Meter:
    """Return a function that runs `llem-cli meter` to its end."""

    def run(
        *arguments: str | Path, input: str | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        process = start(*arguments, stdin=stdin, text=True, **options)
        out, err = process.communicate(input, timeout=280)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run


def wait_for_file(path: Path) -> str:
    """Return the content of a file, once it is there and complete."""
    deadline_s = time.monotonic() + 120
    while time.monotonic() < deadline_s:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text
        time.sleep(0.02)
    raise AssertionError(f"{path} did not appear within two minutes")
