"""Another process can read the newest power of a measurement, and only real readings (CM-11..34)."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from llem_energy._metering import live_file
from llem_energy._metering.live_file import LiveFile, LiveReading
from llem_energy._sources.protocol import Sample


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "live.json"


def read(path: Path) -> LiveReading:
    return msgspec.json.decode(path.read_bytes(), type=LiveReading)


def sample(t_s: float, **values: float | None) -> Sample:
    return Sample("GPU-0", t_s, 1e-6, **values)  # type: ignore[arg-type]  # fields by name


def power_w(path: Path, *samples: Sample) -> float | None:
    """Return the power that a file has after these samples."""
    file = LiveFile(path)
    for each in samples:
        file.add([each])
    file.begin("window")
    (device,) = read(path).devices
    file.close()
    return device.power_w


def test_the_power_is_the_mean_of_the_readings_since_the_last_write(path: Path) -> None:
    assert power_w(path, sample(0, power_w=100.0), sample(1, power_w=300.0)) == 200.0
    assert power_w(path, sample(0, power_average_w=90.0)) == 90.0


def test_without_power_readings_the_counter_gives_the_power(path: Path) -> None:
    assert power_w(path, sample(1, energy_j=50.0), sample(3, energy_j=60.0)) == 5.0


@pytest.mark.parametrize(
    "samples",
    [
        [sample(0)],
        [sample(0, energy_j=5.0)],
        [sample(0, energy_j=5.0), sample(1, energy_j=1.0)],  # the counter was reset
        [sample(1, energy_j=5.0), sample(1, energy_j=6.0)],
    ],
)
def test_what_gives_no_power_is_no_reading_and_not_zero(path: Path, samples: list[Sample]) -> None:
    assert power_w(path, *samples) is None


def test_an_old_power_is_not_repeated_when_the_meter_fails(path: Path) -> None:
    file = LiveFile(path)
    file.add([sample(0, power_w=100.0, temperature_c=40.0)])
    file.begin("warm-up")
    file.add([sample(1)])
    file.begin("window")
    (device,) = read(path).devices
    assert (device.power_w, device.temperature_c) == (None, 40.0)
    file.close()


def test_samples_are_written_once_a_second_only(path: Path) -> None:
    file = LiveFile(path)
    file.begin("window")
    deadline_s = time.perf_counter() + 2.5
    while time.perf_counter() < deadline_s:
        file.add([sample(time.perf_counter(), power_w=10.0)])
        time.sleep(0.01)
    assert 2 <= read(path).n_written <= 3
    file.close()


def test_the_file_says_the_stage_without_a_meter_and_is_gone_at_the_end(path: Path) -> None:
    file = LiveFile(path)
    file.begin("load")
    reading = read(path)
    assert (reading.stage, reading.devices) == ("load", ())
    assert reading.n_written == reading.n_written_again == 1
    assert abs(reading.written_at_s - time.time()) < 60
    file.close()
    file.close()
    assert not path.exists()


def test_a_shorter_text_leaves_nothing_of_a_longer_one(path: Path) -> None:
    file = LiveFile(path)
    file.add([Sample("G" * 5000, 0, 1e-6, power_w=1.0)])
    file.begin("window")
    n_bytes = path.stat().st_size
    file._devices.clear()
    file.begin("result")
    assert read(path).stage == "result"
    assert path.stat().st_size == n_bytes
    file.close()


def test_a_link_in_its_place_is_replaced_and_not_followed(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    path.symlink_to(other)
    file = LiveFile(path)
    file.begin("load")
    assert other.read_text() == "mine"
    assert not path.is_symlink()
    file.close()


def test_without_a_path_or_a_folder_nothing_is_written(tmp_path: Path) -> None:
    for file in (LiveFile(None), LiveFile(tmp_path / "absent" / "live.json")):
        file.begin("load")
        file.add([sample(0, power_w=1.0)])
        file.close()
    assert not list(tmp_path.rglob("live.json"))


def test_the_limit_of_its_size_is_never_exceeded(path: Path) -> None:
    file = LiveFile(path)
    file.begin("load")
    file.add([Sample("G" * live_file._MAX_BYTES, 0, 1e-6)])
    file.begin("window")
    assert read(path).stage == "load"
    file.close()
