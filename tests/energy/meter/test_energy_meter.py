"""The meter for any code, on scripted GPUs through the real binding."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from energy.parts import run_python, with_gpus
from fakes.fake_nvml import FakeGpu

from llem_energy import EnergyMeter, MeasurementError

STEADY = FakeGpu(points=((0.0, 300.0),), uuid="GPU-steady")
BEGIN = """
import json, logging, time
from llem_energy import EnergyMeter, MeasurementError
def seen(window):
    energy = window.energy
    return {
        "j": energy.total_j, "bound_j": energy.bound_j, "s": window.duration_s,
        "sampling_j": energy.sampling_j,
        "status": energy.status, "reasons": energy.reasons,
        "devices": {d.device: d.energy_j for d in energy.devices},
    }
"""


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, str]:
    return {"LLEM_CACHE": str(tmp_path / "calibrations.json")}


def test_windows_of_both_modes_nest_and_enclose_the_truth(
    library: Path, tmp_path: Path, cache: dict[str, str]
) -> None:
    program = BEGIN + (
        "with EnergyMeter() as meter:\n"
        "    with meter.window('outer') as outer:\n"
        "        time.sleep(0.3)\n"
        "        with meter.window('inner', mode='light') as inner:\n"
        "            time.sleep(0.5)\n"
        "    during = seen(inner)\n"
        "print(json.dumps([seen(outer), during]))\n"
    )
    for window in with_gpus(program, library, [STEADY], tmp_path, env=cache):
        assert abs(window["j"] - 300 * window["s"]) <= window["bound_j"]
        assert window["devices"] == {"GPU-steady": window["j"]}


def test_the_bound_contains_what_the_meter_misses_of_noted_steps(
    library: Path, tmp_path: Path, cache: dict[str, str]
) -> None:
    """A counter that sees 25 of 100 ms, and steps of 50 ms, of which it sees the costly half."""
    steps = FakeGpu(
        points=((0.0, 100.0), (0.025, 700.0)), repeat_s=0.05, counter_seen_s=0.025,
        uuid="GPU-steps",
    )  # fmt: skip
    program = BEGIN + (
        "windows = []\n"
        "with EnergyMeter(mode='light') as meter:\n"
        "    for tells in (False, True):\n"
        "        with meter.window() as window:\n"
        "            for k in range(1, 31):\n"
        "                time.sleep(max(0, window.start_s + 0.05 * k - time.perf_counter()))\n"
        "                if tells:\n"
        "                    window.step()\n"
        "        windows.append(seen(window))\n"
        "print(json.dumps(windows))\n"
    )
    untold, told = with_gpus(program, library, [steps], tmp_path, env=cache)
    for window in (untold, told):
        assert window["j"] > 1.5 * 400 * window["s"], "it took the costly half for all"
    assert told["j"] - 400 * told["s"] <= told["bound_j"]
    assert any("steps of 50 ms beat" in reason for reason in told["reasons"])
    assert untold["bound_j"] < untold["j"] - 400 * untold["s"]


def test_a_light_window_knows_what_an_exact_one_has_shown_of_the_counter(
    library: Path, tmp_path: Path, cache: dict[str, str]
) -> None:
    """A counter that is 0.3 s late; 0.8 s of 400 W begin when the second window opens."""
    program = BEGIN + (
        "import ctypes\n"
        "fake = ctypes.CDLL('libnvidia-ml.so.1')\n"
        "fake.fake_nvml_set_power.argtypes = [ctypes.c_uint, ctypes.c_double, ctypes.c_double]\n"
        "fake.fake_nvml_now.restype = ctypes.c_double\n"
        "windows = []\n"
        "with EnergyMeter() as meter:\n"
        "    for mode in ('light', 'exact', 'light'):\n"
        "        with meter.window(mode=mode) as window:\n"
        "            if mode == 'exact':\n"
        "                fake.fake_nvml_set_power(0, fake.fake_nvml_now(), 400.0)\n"
        "            time.sleep(0.8)\n"
        "            if mode == 'exact':\n"
        "                fake.fake_nvml_set_power(0, fake.fake_nvml_now(), 70.0)\n"
        "        windows.append(seen(window))\n"
        "print(json.dumps(windows))\n"
    )
    late = FakeGpu(points=((0.0, 70.0),), counter_delay_s=0.3, uuid="GPU-late")
    first, exact, last = with_gpus(program, library, [late], tmp_path, env=cache)
    assert any("it lags" in reason for reason in exact["reasons"])
    assert not any("lags" in reason for reason in first["reasons"])
    assert any("another window showed" in reason for reason in last["reasons"])


def test_a_window_that_opens_with_its_meter_knows_when_the_counter_moved_before(
    library: Path, tmp_path: Path, cache: dict[str, str]
) -> None:
    program = BEGIN + (
        "windows = []\n"
        "for _ in range(3):\n"
        "    with EnergyMeter(mode='light') as meter:\n"
        "        with meter.window() as window:\n"
        "            time.sleep(0.5)\n"
        "        windows.append([window.energy.method, seen(window)])\n"
        "print(json.dumps(windows))\n"
    )
    for method, window in with_gpus(program, library, [STEADY], tmp_path, env=cache):
        assert method == "energy counter, interpolated"
        assert abs(window["j"] - 300 * window["s"]) <= window["bound_j"]


def test_without_a_meter_the_program_goes_on_and_is_told_once(tmp_path: Path) -> None:
    # No library, even on a machine that has one: the loader stops at this empty file.
    (tmp_path / "libnvidia-ml.so.1").touch()
    program = BEGIN + (
        "told = []\n"
        "logging.getLogger('llem').addFilter(lambda record: told.append(record.getMessage()))\n"
        "for _ in range(2):\n"
        "    with EnergyMeter(sources=['nvml']) as meter, meter.window() as window:\n"
        "        pass\n"
        "print(json.dumps([seen(window), told]))\n"
    )

    out = run_python(program, env={"LD_LIBRARY_PATH": str(tmp_path)})
    window, told = json.loads(out)
    assert (window["j"], window["status"]) == (None, "missing")
    assert "the NVIDIA driver cannot be used" in window["reasons"][0]
    assert len(told) == 1 and "the NVIDIA driver cannot be used" in told[0]


def test_a_meter_that_only_its_window_holds_stays_open(
    library: Path, tmp_path: Path, cache: dict[str, str]
) -> None:
    program = BEGIN + (
        "with EnergyMeter(mode='light').window() as window:\n"
        "    time.sleep(0.5)\n"
        "@EnergyMeter(mode='light').window()\n"
        "def work():\n"
        "    time.sleep(0.5)\n"
        "work()\n"
        "print(json.dumps([seen(window), seen(work.windows[0])]))\n"
    )
    for window in with_gpus(program, library, [STEADY], tmp_path, env=cache):
        assert abs(window["j"] - 300 * window["s"]) <= window["bound_j"]


def test_a_source_that_fails_in_its_calibration_ends_no_program(
    library: Path, tmp_path: Path, cache: dict[str, str]
) -> None:
    program = BEGIN + (
        "import llem_energy._meter.opening as module\n"
        "def fail(source):\n"
        "    raise OSError('gone')\n"
        "module.calibrated = fail\n"
        "with EnergyMeter() as meter, meter.window() as window:\n"
        "    pass\n"
        "print(json.dumps([seen(window), meter.source]))\n"
    )
    window, source = with_gpus(program, library, [STEADY], tmp_path, env=cache)
    assert (window["status"], source) == ("missing", None)
    assert "nvml: it could not be calibrated (OSError: gone)" in window["reasons"][0]


def test_a_checked_counter_has_a_narrower_bound_or_a_flag(
    library: Path, tmp_path: Path, cache: dict[str, str]
) -> None:
    program = BEGIN + (
        "from pathlib import Path\n"
        "import os\n"
        "from llem_energy.sources import BoardCheck, save_board_checks\n"
        "def check(driver, verdict, delay_s):\n"
        "    found = BoardCheck(device='GPU-swing', driver=driver, verdict=verdict,\n"
        "        counter_period_s=0.1, counter_delay_s=delay_s, counter_lag_s=0.0, power_lag_s=0.0,\n"
        "        explained_share=1.0, seen_share=1.0, phase_spread_share=0.0, part_time_reason=None,\n"
        "        checked_at='2026-01-01T00:00:00+00:00')\n"
        "    save_board_checks(Path(os.environ['LLEM_CACHE']), [found])\n"
        "with EnergyMeter() as before:\n"
        "    driver = before.calibration[0].driver\n"
        "    check(driver, 'exact', 0.0)\n"
        "    with EnergyMeter() as after:\n"
        "        windows = before.window(mode='light'), after.window(mode='light')\n"
        "        with windows[0] as unchecked, windows[1] as exact:  # neither waits, so both are alike\n"
        "            time.sleep(1)\n"
        "        unchecked, exact = seen(unchecked), seen(exact)\n"
        "check(driver, 'late', 0.25)\n"
        "with EnergyMeter() as meter, meter.window() as window:\n"
        "    time.sleep(0.5)\n"
        "late = seen(window)\n"
        "print(json.dumps([unchecked, exact, late]))\n"
    )
    swing = FakeGpu(
        points=tuple((0.3 * n, 100.0 if n % 2 else 400.0) for n in range(200)), uuid="GPU-swing"
    )
    unchecked, exact, late = with_gpus(program, library, [swing], tmp_path, env=cache)
    # The rest of a bound depends on when the counter moved next to the ends of its window.
    assert exact["sampling_j"] is None
    assert 0 < unchecked["sampling_j"] < unchecked["bound_j"]
    assert not any("late by about 250 ms" in reason for reason in exact["reasons"])
    assert late["status"] == "flagged"
    assert any("late by about 250 ms" in reason for reason in late["reasons"])


def test_a_generator_is_refused_because_its_call_does_no_work() -> None:
    def stream() -> Iterator[int]:
        yield 1

    with (
        EnergyMeter(sources=["none"]) as meter,
        pytest.raises(MeasurementError, match="found the generator 'stream'"),
    ):
        meter.window()(stream)


@pytest.mark.parametrize("seconds", [0.0, math.inf, math.nan])
def test_the_sample_period_is_a_number_of_seconds(seconds: float) -> None:
    with pytest.raises(MeasurementError, match="sample_period_s"):
        EnergyMeter(sample_period_s=seconds)


def test_importing_the_meter_loads_no_driver_and_no_library_of_models() -> None:
    program = (
        "import sys, llem_energy\n"
        "def loaded(*names):\n"
        "    return [name for name in names if name in sys.modules]\n"
        "print(loaded('torch', 'pynvml', 'pydantic', 'msgspec', 'llem_config'))\n"
        "from llem_energy import EnergyMeter\n"
        "print(loaded('torch', 'pynvml', 'pydantic', 'numpy', 'importlib.metadata', 'tempfile'))\n"
    )
    assert run_python(program).split("\n") == ["[]", "[]", ""]
