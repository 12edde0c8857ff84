"""Measures the study of the example: real runs on the scripted NVIDIA driver.

Real are the command line, a child process for each run, the meter with its windows, counter and
error bounds, all files and all statistics. Scripted are the driver and the backend: it computes
nothing, and sets the true power of the GPU from the configuration of the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

from benchmarks.report.example_truth import EXECUTION, axes

ROOT = Path(__file__).parents[2]
SETTINGS = """\
name: example
model: builtin:tiny-llama
backend: scripted
n: 64
max_input_tokens: 32
max_output_tokens: 8
warmup: {n_warmup: 1, convergence_detection: false}
baseline: {enabled: false}
energy: {sources: [nvml], min_window_seconds: 0.2, sample_period_seconds: 0.01, estimate: false,
  phases: [prefill, decode]}
"""
SITE = Path(__file__).with_name("scripted_site")
"""Declares the backend like an installed package, for processes that have it on their path."""
GPU = FakeGpu(
    name="scripted GPU",
    points=((0.0, 25.0),),
    counter_period_s=0.005,
    power_period_s=0.002,
    average_window_s=0.025,
    instant_window_s=0.005,
)


NOTE = (
    "This study was metered from a scripted driver whose true energy is known. Real are the study "
    "run, its processes, the meter with its windows and error bounds, and all statistics. Scripted "
    "are the GPU and the backend, which generates no text and sets the power of the GPU from the "
    "configuration of each run, with a random spread of 2 % between runs."
)


def study_file(n_points: int = 144) -> str:
    """Return the study file."""
    return SETTINGS + EXECUTION + axes("scripted", n_points)


def measure_example(parent: Path, study: str) -> Path:
    """Run the study with the command line, and return its folder."""
    (parent / "example.yaml").write_text(study)
    library = fake_nvml.build(parent / "driver")
    fake_nvml.write_trace(parent / "gpu.trace", [GPU])
    paths = [str(SITE), str(ROOT), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-m", "llem_cli", "study", "run", "example.yaml", "--quiet"],
        cwd=parent,
        env={
            **os.environ,
            **fake_nvml.environment(library, parent / "gpu.trace"),
            "LLEM_CACHE": str(parent / "cache" / "calibrations.json"),
            "LLEM_DEVICES__GPUS": "[0]",
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        },
        check=True,
    )
    (folder,) = (parent / "results").iterdir()
    return folder
