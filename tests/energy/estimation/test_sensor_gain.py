"""A calibration with an external meter replaces the literature, and corrects no measured energy."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from fakes.results import GAIN

from llem_energy import MeasurementError
from llem_energy._estimation.sensor_gain import corrected_energy, gain_errors
from llem_energy._sources.protocol import Kind, Sample, SourceVersions
from llem_energy.gain import GainCalibration, load_gains, save_gains

OTHER = msgspec.structs.replace(GAIN, device="GPU-2", gain=1.02, gain_error=0.02, meter="PDU 8")
BOTH = {"GPU-1": 300.0, "GPU-2": 100.0}


class Boards:
    """Two GPUs with driver 580."""

    name = "nvml"
    kind: Kind = "gpu"
    gain_share: float | None = 0.05

    def __init__(self, *devices: str) -> None:
        self.devices = devices

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        del details
        raise AssertionError("nothing is read")

    def power_limit_w(self, device: str) -> float | None:
        del device
        return None

    def versions(self) -> SourceVersions:
        return SourceVersions(driver="580")

    def close(self) -> None:
        """Nothing is open."""


def test_without_a_calibration_the_gain_error_is_from_the_literature() -> None:
    gain = gain_errors(Boards("GPU-1"), {"GPU-1": 100.0}, [])
    assert (gain.share, gain.corrected_share, gain.origin) == (0.05, None, "literature")
    figure = corrected_energy({"GPU-1": 100.0}, gain)
    assert (figure.value, figure.quality.status) == (None, "missing")
    assert figure.quality.reasons == ("no sensor was calibrated with an external meter",)


def test_one_board_has_the_error_of_its_own_calibration() -> None:
    gain = gain_errors(Boards("GPU-1"), {"GPU-1": 100.0}, [OTHER, GAIN])
    assert gain.share == pytest.approx(0.04 + 0.01)  # its gain is 0.96 +- 0.01
    assert gain.corrected_share == pytest.approx(0.01 / 0.96)
    assert gain.origin == "calibration with an external meter (PDU 7, 2026-01-01)"
    assert gain.used == (GAIN,)
    assert corrected_energy({"GPU-1": 100.0}, gain).value == pytest.approx(96.0)


def test_several_boards_are_weighted_by_their_energy() -> None:
    gain = gain_errors(Boards("GPU-1", "GPU-2"), BOTH, [GAIN, OTHER])
    total_j = corrected_energy(BOTH, gain).value
    assert total_j is not None
    assert total_j == pytest.approx(300 * 0.96 + 100 * 1.02)
    assert gain.share == pytest.approx(abs(total_j / 400 - 1) + (300 * 0.01 + 100 * 0.02) / 400)
    assert "PDU 7, 2026-01-01, PDU 8" in (gain.origin or "")


def test_a_calibration_is_not_used_for_some_boards_only_or_another_driver() -> None:
    partly = gain_errors(Boards("GPU-1", "GPU-2"), BOTH, [GAIN])
    assert (partly.share, partly.origin) == (0.05, "literature: GPU-2 has no calibration")
    older = msgspec.structs.replace(GAIN, driver="570")
    other = gain_errors(Boards("GPU-1"), {"GPU-1": 100.0}, [older])
    assert other.share == 0.05
    assert other.origin == "literature: GPU-1 was calibrated with driver 570, and this is 580"
    reasons = corrected_energy({"GPU-1": 100.0}, other).quality.reasons
    assert reasons == ("GPU-1 was calibrated with driver 570, and this is 580",)


def test_a_missing_energy_has_no_corrected_energy() -> None:
    gain = gain_errors(Boards("GPU-1"), {"GPU-1": None}, [GAIN])
    figure = corrected_energy({"GPU-1": None}, gain)
    assert (figure.value, figure.quality.reasons) == (None, ("the energy of GPU-1 is missing",))


def test_gains_are_kept_by_board_and_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "new" / "gains.json"
    assert load_gains(path) == ()
    save_gains(path, [GAIN, OTHER])
    newer: GainCalibration = msgspec.structs.replace(GAIN, gain=0.97)
    save_gains(path, [newer])
    assert {each.device: each.gain for each in load_gains(path)} == {"GPU-1": 0.97, "GPU-2": 1.02}
    path.write_text("{")
    with pytest.raises(MeasurementError, match=r"delete it and calibrate again"):
        load_gains(path)
    with pytest.raises(MeasurementError, match=r"damaged file"):
        save_gains(path, [GAIN])
