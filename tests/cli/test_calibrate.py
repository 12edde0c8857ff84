"""`llem-cli calibrate`: the gain of a scripted sensor, from the log of a scripted meter."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fakes.metered_study import LEVELS_W, FakeMeter, scripted_gpu, write_study

from llem_cli._app import run
from llem_config.settings import gains_path
from llem_energy.gain import load_gains
from llem_energy.records import NeighbourGpu

GPU = scripted_gpu(gain=1.04)
METER = FakeMeter(GPU, efficiency=0.92)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study", GPU)


def failure(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return the only line that the command prints when it fails."""
    assert run(["calibrate", *map(str, arguments)]) in (1, 2)
    assert not gains_path().exists()
    (line,) = capfd.readouterr().err.splitlines()
    return line


def calibrated(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert run(["calibrate", "--json", *map(str, arguments)]) == 0
    data: dict[str, Any] = json.loads(capfd.readouterr().out)
    return data


def test_gain_offset_and_lag_are_found_and_stored(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    log = METER.write(tmp_path / "pdu7.csv")
    data = calibrated(
        capfd, "--meter", log, "--study", study, "--efficiency", "0.92", "--efficiency-error", "0"
    )
    (board,) = data["boards"]
    fit = board["calibration"]
    # The sensor shows 1.04 W for a true watt, which is 1 / 0.92 W at the meter.
    slope = 1 / 0.92 / 1.04
    assert fit["slope"] == pytest.approx(slope, rel=0.005)
    assert abs(fit["slope"] - slope) < 4 * fit["slope_se"]
    assert fit["gain"] == pytest.approx(1 / 1.04, abs=2 * fit["gain_error"])
    assert abs(fit["offset_w"] - 240) < 4 * fit["offset_se_w"]
    # A reading is the mean of the second before it, so it is half a second late.
    assert fit["lag_s"] == pytest.approx(3.4 + 0.5, abs=0.3)
    assert (fit["n_windows"], fit["n_outliers"], board["n_left_out"]) == (len(LEVELS_W), 0, 0)
    assert len(board["windows"]) == len(LEVELS_W)
    assert (fit["meter"], fit["driver"], fit["device"]) == ("pdu7.csv", "580", "GPU-1")
    assert abs(board["clock_drift_s"]) < 0.5
    (stored,) = load_gains(gains_path())
    assert stored.gain == fit["gain"]
    assert data["stored_in"] == str(gains_path())


def test_the_fit_is_shown_as_text_and_not_stored_without_the_efficiency(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    log = METER.write(tmp_path / "log.csv")
    assert run(["calibrate", "--meter", str(log), "--study", str(study)]) == 0
    text = capfd.readouterr().out
    assert "slope" in text
    assert "standard error" in text
    assert "not stored: the slope contains the losses" in text
    assert not gains_path().exists()


def test_a_dry_run_shows_the_gain_and_stores_nothing(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    log = METER.write(tmp_path / "log.csv")
    flags = ["--efficiency", "0.92", "--dry-run"]
    assert run(["calibrate", "--meter", str(log), "--study", str(study), *flags]) == 0
    text = capfd.readouterr().out
    assert "(95 %)" in text
    assert "not stored (--dry-run)" in text
    assert not gains_path().exists()


@pytest.mark.parametrize(
    ("header", "scale", "is_energy", "flags"),
    [
        ("Time,Energy (Wh)", 1 / 3600, True, []),
        ("timestamp,energy_j", 1.0, True, []),
        ("date,Power [kW]", 1e-3, False, []),
        ("when,x", 1e-3, False, ["--time-column=when", "--value-column=x", "--unit=kW"]),
    ],
)
def test_energy_and_other_units_give_the_same_gain(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    study: Path,
    header: str,
    scale: float,
    is_energy: bool,
    flags: list[str],
) -> None:
    log = METER.write(tmp_path / "log.csv", header=header, scale=scale, is_energy=is_energy)
    data = calibrated(capfd, "--meter", log, "--study", study, *flags)
    fit = data["boards"][0]["calibration"]
    assert fit["slope"] == pytest.approx(1 / 0.92 / 1.04, rel=0.01)


def test_times_without_a_zone_need_one(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    naive = {"zone": timezone(timedelta(hours=2)), "time_format": "%Y-%m-%d %H:%M:%S.%f"}
    log = METER.write(tmp_path / "log.csv", **naive)  # type: ignore[arg-type]
    both = ("--meter", log, "--study", study)
    assert "has no time zone; give --time-zone" in failure(capfd, *both)
    wrong = failure(capfd, *both, "--time-zone", "UTC")
    assert "only if its times are shifted by -2 h" in wrong
    assert "--shift=-7200" in wrong
    assert "expected a time zone such as UTC" in failure(capfd, *both, "--time-zone", "Mars")
    right = calibrated(capfd, *both, "--time-zone", "+02:00")
    shifted = calibrated(capfd, *both, "--time-zone", "UTC", "--shift=-7200")
    assert right["boards"][0]["windows"] == shifted["boards"][0]["windows"]


def test_a_few_outliers_are_left_out_and_counted(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    log = METER.write(tmp_path / "log.csv")
    lines = log.read_text().splitlines()
    # Another program draws 200 W during the second window (34.7 to 47.7 s of the script).
    for i in range(38, 52):
        time, power = lines[i].split(",")
        lines[i] = f"{time},{float(power) + 200}"
    log.write_text("\n".join(lines))
    data = calibrated(capfd, "--meter", log, "--study", study)
    fit = data["boards"][0]["calibration"]
    assert (fit["n_windows"], fit["n_outliers"]) == (len(LEVELS_W) - 1, 1)
    assert fit["slope"] == pytest.approx(1 / 0.92 / 1.04, rel=0.01)


def test_the_ends_of_windows_are_cut_as_far_as_the_meter_averages(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    log = METER.but(averaged_s=4.0, noise_w=0.2).write(tmp_path / "log.csv")
    (board,) = calibrated(capfd, "--meter", log, "--study", study)["boards"]
    assert board["cut_s"] == 2.0
    assert board["calibration"]["slope"] == pytest.approx(1 / 0.92 / 1.04, rel=0.006)


def test_a_meter_that_repeats_its_values_needs_longer_windows(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    log = METER.but(period_s=0.5, held_s=1.5).write(tmp_path / "log.csv")
    (board,) = calibrated(capfd, "--meter", log, "--study", study)["boards"]
    assert board["cut_s"] >= 1.5
    assert board["calibration"]["slope"] == pytest.approx(1 / 0.92 / 1.04, rel=0.006)
    log = METER.but(held_s=5.0).write(tmp_path / "log.csv")
    line = failure(capfd, "--meter", log, "--study", study, "--efficiency", "0.9")
    assert "because the meter shows a new value every 5 s, found 0, and 8 that are shorter" in line


@pytest.mark.parametrize(("efficiency", "n_warnings"), [("0.92", 0), ("0.8", 1), ("0.99", 0)])
def test_a_gain_that_no_sensor_has_is_a_warning(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    study: Path,
    efficiency: str,
    n_warnings: int,
) -> None:
    log = METER.write(tmp_path / "log.csv")
    flags = ("--meter", log, "--study", study, "--efficiency", efficiency)
    data = calibrated(capfd, *flags)
    assert len(data["warnings"]) == n_warnings
    assert run(["calibrate", *map(str, flags)]) == 0
    text = " ".join(capfd.readouterr().out.split())
    assert ("warning: GPU-1: the gain is 0.833, and published ones are" in text) is (n_warnings > 0)


def test_runs_that_are_given_twice_count_once(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    copy = shutil.copytree(study, tmp_path / "copy")
    log = METER.write(tmp_path / "log.csv")
    once = calibrated(capfd, "--meter", log, "--study", study)["boards"]
    twice = calibrated(capfd, "--meter", log, "--study", study, "--study", copy)["boards"]
    assert twice[0]["windows"] == once[0]["windows"]


@pytest.mark.parametrize(("power_w", "n_notes"), [(100.0, 0), (400.0, 1)])
def test_another_gpu_of_the_node_that_worked_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, power_w: float, n_notes: int
) -> None:
    neighbour = NeighbourGpu(
        uuid="GPU-2", power_start_w=70.0, power_before_window_w=power_w, power_end_w=None,
        n_processes=1,
    )  # fmt: skip
    study = write_study(tmp_path / "study", GPU, neighbours=(neighbour,))
    log = METER.write(tmp_path / "log.csv")
    notes = calibrated(capfd, "--meter", log, "--study", study)["notes"]
    assert len(notes) == n_notes
    assert all("other GPUs of the node drew between 70 and 400 W" in note for note in notes)


def test_boards_that_work_at_the_same_time_are_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    other = write_study(tmp_path / "other", scripted_gpu(uuid="GPU-2"))
    log = METER.write(tmp_path / "log.csv")
    line = failure(capfd, "--meter", log, "--study", study, "--study", other)
    assert "runs of GPU-1 and GPU-2 overlap in time" in line


BAD_LOGS: dict[str, tuple[FakeMeter, dict[str, Any], str]] = {
    "wrong unit": (METER, {"scale": 1e-3}, "its values are probably in kW: give --unit=kW"),
    "other unit": (METER, {"scale": 7.0}, "is it the log of the meter of this node?"),
    "no unit": (METER, {"header": "time,power"}, "add it, or give --unit"),
    "no column": (METER, {"header": "a,b"}, "name it with --time-column"),
    "clock": (METER.but(lag_s=120.0), {}, "the lag of the meter's clock cannot be found"),
    "edge": (METER.but(lag_s=59.9), {}, "differs by 60 s or more; give a larger --max-lag"),
    "drift": (METER.but(drift=0.015), {}, "the clock of the meter drifts: its lag changes by +"),
    "other node": (METER.but(gpu=scripted_gpu((300.0,))), {}, "the lag of the meter's clock cannot"),
    "no overlap": (METER.but(lag_s=864_321.0), {}, "the log does not overlap the runs: it is from"),
    "only changes": (METER.but(noise_w=0.0), {"only_changes": True}, "the log has no fixed interval: let the"),
    "gap": (METER, {"without": (40.0, 100.0)}, "raise energy.min_window_seconds; the log has 1 gap"),
    "slow meter": (METER.but(period_s=6.0, noise_w=0.0), {}, "expected at least 6 windows that the"),
    "half": (METER.but(offset_w=120.0, efficiency=1.84), {}, "needs the sum of both"),
    "two boards": (METER.but(efficiency=0.5), {}, "Everything else that it measures must idle"),
    "averages": (METER.but(averaged_s=8.0), {}, "so the meter averages over some seconds; measure"),
    "noise": (METER.but(noise_w=90.0), {}, "no better than the +-5% of the literature"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LOGS)
def test_a_bad_log_is_refused_with_one_sentence(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path, name: str
) -> None:
    meter, changes, expected = BAD_LOGS[name]
    log = meter.write(tmp_path / "log.csv", **changes)
    line = failure(capfd, "--meter", log, "--study", study, "--efficiency", "0.9")
    assert line.startswith("error: ")
    assert expected in line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-01-01T00:00:01Z,n/a", "log.csv:5: expected a number, such as 1234.5, found 'n/a'"),
        ("yesterday,300", "log.csv:5: expected a time such as"),
        ("2025-01-01T00:00:01Z,300", "log.csv:5: expected a later time than in the row before"),
        ("2026-01-01T00:00:09Z", "log.csv:5: expected 2 columns, as in the first row, found 1"),
        ("17,300", "log.csv:5: expected Unix time in seconds"),
    ],
)
def test_a_bad_line_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path, line: str, expected: str
) -> None:
    log = METER.write(tmp_path / "log.csv")
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:4], line, *lines[5:]]))
    assert expected in failure(capfd, "--meter", log, "--study", study)


def test_an_energy_that_decreases_is_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    log = METER.write(tmp_path / "log.csv", header="time,energy_j", is_energy=True)
    lines = log.read_text().splitlines()
    lines[50] = lines[50].split(",")[0] + ",0"
    log.write_text("\n".join(lines))
    expected = "log.csv:51: expected an energy that does not decrease"
    assert expected in failure(capfd, "--meter", log, "--study", study)


def test_a_constant_load_is_refused(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    levels_w = (300.0,) * 7
    gpu = scripted_gpu(levels_w)
    study = write_study(tmp_path / "study", gpu, levels_w)
    log = FakeMeter(gpu).write(tmp_path / "log.csv")
    line = failure(capfd, "--meter", log, "--study", study)
    assert "GPU-1: the load was constant (" in line


def test_too_few_windows_are_refused(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    levels_w = LEVELS_W[:4]
    gpu = scripted_gpu(levels_w)
    study = write_study(tmp_path / "study", gpu, levels_w)
    log = FakeMeter(gpu).write(tmp_path / "log.csv")
    line = failure(capfd, "--meter", log, "--study", study)
    assert "expected at least 6 windows that the log covers" in line
    assert "found 4, and 0 that are shorter or not covered" in line


def test_a_load_that_repeats_fits_at_more_than_one_lag(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    levels_w = (200.0, 500.0, 300.0) * 3  # the same every 86.1 s
    gpu = scripted_gpu(levels_w)
    study = write_study(tmp_path / "study", gpu, levels_w)
    log = FakeMeter(gpu, duration_s=258.0).write(tmp_path / "log.csv")
    line = failure(capfd, "--meter", log, "--study", study, "--max-lag", "100")
    assert "fit equally well, because the load repeats" in line
    data = calibrated(capfd, "--meter", log, "--study", study, "--max-lag", "30")
    assert data["boards"][0]["calibration"]["lag_s"] == pytest.approx(3.9, abs=0.3)


def test_runs_that_cannot_be_used_are_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study = write_study(tmp_path / "study", GPU, energy_per_device_j={"GPU-1": 1.0, "GPU-2": 1.0})
    log = METER.write(tmp_path / "log.csv")
    line = failure(capfd, "--meter", log, "--study", study)
    assert "2 GPUs were metered, whose gains cannot be told apart" in line


def test_wrong_flags_and_paths_are_refused(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, study: Path
) -> None:
    log = METER.write(tmp_path / "log.csv")
    both = ("--meter", log, "--study", study)
    assert "--efficiency" in failure(capfd, *both, "--efficiency", "1.2")
    assert "--max-lag" in failure(capfd, *both, "--max-lag", "0")
    assert "absent" in failure(capfd, "--meter", tmp_path / "absent.csv", "--study", study)
    assert "absent" in failure(capfd, "--meter", log, "--study", tmp_path / "absent")
    assert "expected folders of studies, found none" in failure(capfd, "--meter", log)


def test_help_explains_what_is_stored_and_the_exit_codes(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["calibrate", "--help"]) == 0
    words = " ".join(capfd.readouterr().out.split())
    assert "Exits with code 1 if the gain cannot be told" in words
    assert "--efficiency" in words
