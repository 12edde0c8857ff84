"""The benchmark of counters with flaws plays a trace that its peers can play again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from fakes.fake_nvml import FakeGpu, environment, true_energy_j, write_trace
from workspace.repository import ROOT


def test_the_power_that_was_played_has_the_energy_that_was_measured(
    library: Path, tmp_path: Path
) -> None:
    gpu = FakeGpu(points=((0.0, 70.0),), counter_phase_s=0.037, counter_delay_s=0.25)
    write_trace(tmp_path / "gpus.trace", [gpu])
    loads = [{"length_s": 0.7 + 0.2 * i, "points": [(0.0, 400.0)]} for i in range(3)]
    request = {
        "idle_w": 70.0,
        "ripple": 0.01,
        "seed": "x",
        "is_checked": False,
        "late_s": 0.0,
        "step_s": 0.0,
        "loads": loads,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.energy.our_side", "guarded"],
        input=json.dumps(request) + "\n", capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | environment(library, tmp_path / "gpus.trace"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert all(later[0] > earlier[0] for earlier, later in pairwise(answer["points"]))
    played = replace(gpu, points=tuple((t_s, watts) for t_s, watts in answer["points"]))
    for load, window in zip(loads, answer["windows"], strict=True):
        start_s, end_s = window["window"]
        assert end_s - start_s == pytest.approx(load["length_s"], abs=1e-3)
        assert window["truth_j"] == pytest.approx(true_energy_j(played, start_s, end_s))
        assert window["reasons"], "a counter that is 250 ms late is flagged"
        assert abs(window["energy_j"] - window["truth_j"]) <= window["bound_j"]
