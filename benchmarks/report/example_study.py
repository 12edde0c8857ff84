"""Simulates the study of the example in seconds, to test its command.

Real are the study file, its 144 points, the shuffled schedule of 720 runs, the manifest, the result
files and all statistics. The measurement is replaced: the energy of a run is the true energy of its
point, times the noise of its run and its cycle, whose seeds are fixed.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fakes.results import make_result

from benchmarks.report.example_truth import (
    BEST_J,
    EXECUTION,
    NOISE,
    axes,
    levels_of,
    true_energy_j,
)
from llem_config import ExperimentConfig
from llem_energy import ExperimentResult
from llem_energy.records import EnvironmentSnapshot, Latency
from llem_runner import run_study
from llem_runner._executors.inline import InlineExecutor

SETTINGS = "name: example\nmodel: builtin:tiny-llama\n"
CYCLE_SD = 0.01  # the same of what all runs of a cycle share
OUTPUT_TOKENS = 12_800
_START = datetime(2026, 1, 31, 12, tzinfo=UTC)


class SimulatedMeter:
    """Takes the place of `measure`."""

    def __init__(self, n_points: int) -> None:
        self._random = random.Random(13)
        self._n_points = n_points
        self._n_runs = 0
        self._cycle = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {}  # this process calls the object itself

    def __call__(self, config: ExperimentConfig, **_: Any) -> ExperimentResult:
        """Return the result of a run."""
        if self._n_runs % self._n_points == 0:
            self._cycle = self._random.gauss(0, CYCLE_SD)
        start = _START + timedelta(seconds=30 * self._n_runs)
        self._n_runs += 1
        levels = levels_of(config)
        energy_j = true_energy_j(levels) * math.exp(self._cycle + self._random.gauss(0, NOISE))
        batch_size = int(levels["batch_size"])
        # Larger batches draw more power, so energy and speed do not order the points alike.
        power_w = 260 + 45 * math.log2(batch_size)
        speed = power_w / energy_j * math.exp(self._random.gauss(0, 0.006))
        window_s = OUTPUT_TOKENS / speed
        return make_result(
            config,
            started_at=start.isoformat(),
            ended_at=(start + timedelta(seconds=25)).isoformat(),
            output_tokens=OUTPUT_TOKENS,
            input_tokens=4 * OUTPUT_TOKENS,
            window_s=window_s,
            tokens_per_second=speed,
            time_to_first_token=_latency(0.02 * batch_size**0.7 * energy_j / BEST_J),
            energy_total_j=energy_j * OUTPUT_TOKENS,
            energy_bound_j=0.004 * energy_j * OUTPUT_TOKENS,
            energy_counter_j=energy_j * OUTPUT_TOKENS,
            energy_integrated_j=energy_j * OUTPUT_TOKENS,
            energy_per_device_j={"GPU-simulated": energy_j * OUTPUT_TOKENS},
            baseline_power_w=95.0,
            energy_adjusted_j=energy_j * OUTPUT_TOKENS - 95.0 * window_s,
            energy_per_output_token_j=energy_j,
            energy_per_input_token_j=energy_j / 4,
            energy_per_prompt_j=energy_j * OUTPUT_TOKENS / config.n,
            environment_snapshot=_ENVIRONMENT,
        )


_ENVIRONMENT = EnvironmentSnapshot(
    python="simulated",
    platform="simulated",
    cpu_model="a simulated machine",
    n_cpus=16,
    memory_bytes=None,
    cpu_governor=None,
    load_average_1min=None,
    driver=None,
    nvml=None,
    gpus=(),
    packages={},
    environment={},
)


def _latency(mean_s: float) -> Latency:
    return Latency(n=100, mean_s=mean_s, p50_s=mean_s, p90_s=1.1 * mean_s, p99_s=1.3 * mean_s)


def run_example(parent: Path) -> Path:
    """Run the study in this process, and return its folder."""
    file = parent / "example.yaml"
    file.write_text(SETTINGS + EXECUTION + axes("pytorch"))
    results = parent / "results"
    run_study(file, output=results, measure=SimulatedMeter(144), executor=InlineExecutor())
    (folder,) = results.iterdir()
    return folder
