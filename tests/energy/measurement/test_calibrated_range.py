"""A gain is used where it was fitted; elsewhere the corrected energy is flagged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from energy.parts import experiment, with_gpus
from fakes.fake_nvml import FakeGpu
from fakes.results import GAIN

from llem_energy import Carryover
from llem_energy._estimation.window_energy import EnergyFigures
from llem_energy._measurement.calibrated_range import outside_calibration
from llem_energy.records import DeviceWindow

RANGE = msgspec.structs.replace(GAIN, board_min_w=200.0, board_max_w=600.0)


@pytest.mark.parametrize(
    ("power_w", "n_reasons"),
    [(100.0, 1), (185.0, 0), (400.0, 0), (650.0, 0), (700.0, 1), (None, 0)],
)
def test_a_board_outside_of_the_range_of_its_calibration_is_named(
    power_w: float | None, n_reasons: int
) -> None:
    energy_j = None if power_w is None else 10 * power_w
    device = DeviceWindow(device=RANGE.device, energy_j=energy_j, energy_bound_j=1.0)
    window = EnergyFigures(devices=(device,), gains=(RANGE,))
    reasons = list(outside_calibration(window, 10.0))
    assert len(reasons) == n_reasons
    assert all("its sensor was calibrated from 200 to 600 W only" in each for each in reasons)


def test_without_a_calibration_nothing_is_said() -> None:
    device = DeviceWindow(device="GPU-1", energy_j=1.0, energy_bound_j=1.0)
    assert list(outside_calibration(EnergyFigures(devices=(device,)), 10.0)) == []


PROGRAM = """
import sys
import msgspec
from llem_config import ExperimentConfig, Settings
from llem_energy import Carryover, measure
config = ExperimentConfig.model_validate_json(sys.argv[1])
settings = Settings.model_validate({"devices": {"gpus": [0]}})
carryover = msgspec.json.decode(sys.argv[2], type=Carryover)
print(msgspec.json.encode(measure(config, settings=settings, carryover=carryover)).decode())
"""


@pytest.mark.slow  # starts a process that imports torch
def test_a_run_outside_of_the_range_has_a_flagged_corrected_energy(
    library: Path, tmp_path: Path
) -> None:
    gpu = FakeGpu(points=((0.0, 90.0),), counter_phase_s=0.037)
    gain = msgspec.structs.replace(RANGE, device=gpu.uuid, driver="580.00.01")
    carryover = msgspec.json.encode(Carryover(gains=(gain,))).decode()
    config = experiment(energy={"min_window_seconds": 1.0}).model_dump_json()
    result = with_gpus(PROGRAM, library, [gpu], tmp_path, config, carryover)
    assert result["energy_gain_corrected_j"] == pytest.approx(0.96 * result["energy_total_j"])
    reasons = result["figures"]["energy_gain_corrected_j"]["reasons"]
    assert any("calibrated from 200 to 600 W only" in reason for reason in reasons)
    total = result["figures"]["energy_total_j"]["reasons"]
    assert not any("calibrated from" in reason for reason in total)
