"""What a check of a board says in the results of later runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from energy.parts import experiment, with_gpus
from fakes.fake_nvml import FakeGpu

from llem_energy import Carryover
from llem_energy.sources import BoardCheck

pytestmark = pytest.mark.slow  # starts a process that imports torch

GPU = FakeGpu(points=((0.0, 90.0),), counter_phase_s=0.037)
DRIVER = "580.00.01"  # of the scripted driver
PROGRAM = """
import sys
import msgspec
from llem_config import ExperimentConfig, Settings
from llem_energy import Carryover, carryover_from, measure
config = ExperimentConfig.model_validate_json(sys.argv[1])
settings = Settings.model_validate({"devices": {"gpus": [0]}})
results, kept = [], []
for text in sys.argv[2:]:
    carryover = msgspec.json.decode(text, type=Carryover)
    results.append(measure(config, settings=settings, carryover=carryover))
    kept.append(len(carryover_from(results[-1], carryover).board_checks))
print(msgspec.json.encode([results, kept]).decode())
"""


def check(verdict: str = "exact", driver: str = DRIVER, device: str = GPU.uuid) -> BoardCheck:
    fields = {
        "device": device, "driver": driver, "verdict": verdict, "counter_period_s": 0.1,
        "counter_delay_s": 0.12 if verdict == "late" else 0.0, "counter_lag_s": 0.0,
        "power_lag_s": 0.0, "explained_share": 0.99, "phase_spread_share": 0.0,
        "seen_share": 0.25 if verdict == "part-time" else 1.0, "part_time_reason": None,
        "checked_at": "2026-02-03T04:05:06+00:00",
    }  # fmt: skip
    return msgspec.convert(fields, BoardCheck)


def test_a_result_says_whether_its_counter_was_checked(library: Path, tmp_path: Path) -> None:
    groups = [
        (),
        (check(),),
        (check(driver="570.1"), check(device="GPU-another")),
        (check("late"), check("part-time")),  # the later one holds
    ]
    carryovers = [msgspec.json.encode(Carryover(board_checks=g)).decode() for g in groups]
    config = experiment(energy={"min_window_seconds": 0.5}).model_dump_json()
    results, kept = with_gpus(PROGRAM, library, [GPU], tmp_path, config, *carryovers)
    assert [r["counter_exactness"] for r in results] == [
        "unverified", "exact", "unverified", "part-time",
    ]  # fmt: skip
    assert [len(r["board_checks"]) for r in results] == [0, 1, 0, 1]
    assert results[1]["board_checks"][0] == msgspec.to_builtins(check())
    assert kept == [0, 1, 2, 2]  # the next run of a study has them too
    for figure in ("energy_total_j", "energy_per_output_token_j"):
        doubts = [
            [reason for reason in r["figures"][figure]["reasons"] if "checked on" in reason]
            for r in results
        ]
        assert doubts[:3] == [[], [], []]
        (doubt,) = doubts[3]
        assert "observes the board only part of the time (25%) (checked on 2026-02-03)" in doubt
    assert results[3]["energy_status"] == "flagged"
