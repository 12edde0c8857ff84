"""A whole measurement beside a neighbour that arrives when its window begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment, with_gpus
from fakes.fake_nvml import FakeGpu

pytestmark = pytest.mark.slow  # starts a process that imports torch

PROGRAM = """
import ctypes, sys
import msgspec
from llem_config import ExperimentConfig, Settings
from llem_energy import measure
fake = ctypes.CDLL("libnvidia-ml.so.1")
fake.fake_nvml_now.restype = ctypes.c_double
config = ExperimentConfig.model_validate_json(sys.argv[1])
settings = Settings.model_validate({"devices": {"gpus": [0]}})

def arrive(stage):
    if stage == "window":
        now_s, watts = fake.fake_nvml_now(), ctypes.c_double(240.0)
        assert fake.fake_nvml_set_power(0, ctypes.c_double(now_s), watts)
        assert fake.fake_nvml_set_neighbour(0, int(sys.argv[2]), 0, ctypes.c_uint64(0))

quiet = measure(config, settings=settings)
shared = measure(config, settings=settings, on_stage=arrive)
print(msgspec.json.encode({"quiet": quiet, "shared": shared}).decode())
"""
FIGURES = ("energy_total_j", "energy_per_output_token_j", "energy_per_prompt_j")


@pytest.mark.parametrize(
    ("pid", "reason"),
    [
        (4242, "1 other process was on GPU 0 later in the run"),
        (0, "W from before to after the window"),
    ],
    ids=["listed", "unlisted"],
)
def test_a_neighbour_that_arrives_in_the_window_flags_the_total(
    library: Path, tmp_path: Path, pid: int, reason: str
) -> None:
    config = experiment(
        baseline={"enabled": True, "duration_seconds": 1.5}, energy={"min_window_seconds": 2.0}
    )
    gpu = FakeGpu(points=((0.0, 90.0),), idle_w=300.0, counter_phase_s=0.037)
    answer = with_gpus(PROGRAM, library, [gpu], tmp_path, config.model_dump_json(), str(pid))
    for figure in FIGURES:
        assert _signs(answer["quiet"], figure) == []
        assert any(reason in sign for sign in _signs(answer["shared"], figure))
        assert answer["shared"]["figures"][figure]["status"] == "flagged"
    assert any(reason in warning for warning in answer["shared"]["measurement_warnings"])


def _signs(result: dict[str, Any], figure: str) -> list[str]:
    """Return the reasons that concern other users; a busy machine may add some of its own."""
    marks = ("other process", "something else used", "idle power changed", "cannot be told")
    reasons = result["figures"][figure]["reasons"]
    return [reason for reason in reasons if any(mark in reason for mark in marks)]
