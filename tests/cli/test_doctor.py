"""`llem-cli doctor` as a user runs it (CLI-05, CLI-11)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Run
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu
from fakes.powercap import add_domain

from llem_cli._commands.doctor import country_hint
from llem_config.settings import MeasurementSettings


def with_gpu(library: Path, folder: Path, gpu: FakeGpu) -> dict[str, str]:
    fake_nvml.write_trace(folder / "gpus.trace", [gpu])
    driver = fake_nvml.environment(library, folder / "gpus.trace")
    return {**driver, "LLEM_POWERCAP": str(folder / "absent")}


def test_doctor_shows_a_gpu_with_its_error_bound_and_exits_with_0(
    llem: Run, library: Path, tmp_path: Path
) -> None:
    done = llem("doctor", **with_gpu(library, tmp_path, FakeGpu(name="Fake H200")))
    assert (done.returncode, done.stderr) == (0, "calibrating GPUs: 1 of 1 ...\n")
    assert "Fake H200" in done.stdout
    (accuracy,) = [line for line in done.stdout.splitlines() if line.split()[:2] == ["0", "yes"]]
    _read_time, *pairs = re.findall(r"([\d.]+) / ([\d.]+)", accuracy)
    bound_percent, window_s = ([float(number) for number in pair] for pair in pairs)
    # Half of a counter period of 100 ms in 10 s, and the window for 1 %, on a busy machine.
    assert bound_percent == pytest.approx([1.1, 1.9], rel=0.1)
    assert window_s == pytest.approx([11, 19], rel=0.1)
    assert "no problems found" in done.stdout
    assert "\x1b" not in done.stdout


def test_doctor_shows_clocks_that_a_user_set_and_what_shows_it(
    llem: Run, library: Path, tmp_path: Path
) -> None:
    gpu = FakeGpu(application_mhz=(1410, 3201, 1980, 3201), locked_mhz=1200)
    done = llem("doctor", **with_gpu(library, tmp_path, gpu))
    lines = done.stdout.splitlines()
    table = "\n".join(lines[lines.index("GPU clocks") :])
    assert re.search(r"^0\s+1200\s+1410\s+1980\s+yes\s", table, re.MULTILINE)
    assert "application clocks are set" in " ".join(table.split())
    assert "no problems found" in done.stdout


def test_json_output_is_only_the_diagnosis(llem: Run, library: Path, tmp_path: Path) -> None:
    done = llem("doctor", "--json", **with_gpu(library, tmp_path, FakeGpu(uuid="GPU-a")))
    diagnosis = json.loads(done.stdout)
    assert set(diagnosis) == {
        *("measurable", "sources", "gpus", "silent_gpus", "domains", "versions", "problems"),
        "load",
    }
    assert diagnosis["load"] is None  # the tests hide the load of this machine
    (gpu,) = diagnosis["gpus"]
    assert (gpu["uuid"], gpu["calibration"]["device"]) == ("GPU-a", "GPU-a")
    assert diagnosis["measurable"]
    assert diagnosis["problems"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_doctor_shows_the_load_of_the_machine(
    llem: Run, no_meter: dict[str, str], real_load: None
) -> None:
    done = llem("doctor", **no_meter)
    lines = done.stdout.splitlines()
    table = lines[lines.index("Other load") :]
    assert table[3].split()[0] == str(len(os.sched_getaffinity(0)))
    load = json.loads(llem("doctor", "--json", **no_meter).stdout)["load"]
    assert load["other_usable_cores"] >= 0
    assert load["duration_s"] >= 0.5


def test_without_a_meter_doctor_shows_the_reasons_and_exits_with_1(
    llem: Run, no_meter: dict[str, str]
) -> None:
    done = llem("doctor", **no_meter)
    assert (done.returncode, done.stderr) == (1, "")
    assert "the NVIDIA driver cannot be used" in done.stdout
    assert "no energy counters below" in done.stdout
    assert "problem: no energy can be measured on this machine" in done.stdout


def test_a_gpu_in_mig_mode_cannot_be_measured(llem: Run, library: Path, tmp_path: Path) -> None:
    done = llem("doctor", **with_gpu(library, tmp_path, FakeGpu(mig=True)))
    assert (done.returncode, done.stderr) == (1, "")
    assert "`sudo nvidia-smi -i 0 -mig 0` turns MIG off" in done.stdout


# Root can read every file, so another user runs the command. That user may not be able to read the
# interpreter's files either, so the first run, as root, imports everything.
AS_NOBODY = """
import contextlib, io, os, sys
from pathlib import Path
from llem_cli._app import run
folder = Path(os.environ["LLEM_POWERCAP"])
if os.geteuid() == 0:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(["doctor", *sys.argv[1:]])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(run(["doctor", *sys.argv[1:]]))
"""


def test_unreadable_counters_are_shown_with_the_command_that_gives_access(
    open_folder: Path,
) -> None:
    (open_folder / "empty").mkdir()
    (open_folder / "empty" / "libnvidia-ml.so.1").touch()  # no driver, as with `no_meter`
    root = open_folder / "powercap"
    root.mkdir()
    for folder, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")):
        add_domain(root, folder, name, 1_000_000).chmod(0)
    env = {**os.environ, "LD_LIBRARY_PATH": str(open_folder / "empty"), "LLEM_POWERCAP": str(root)}

    def doctor(*flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *flags],
            env=env,
            cwd=open_folder,
            capture_output=True,
            text=True,
            check=False,
        )

    done = doctor()
    assert (done.returncode, done.stderr) == (1, "")
    assert [line.split()[:2] for line in done.stdout.splitlines() if "package-0" in line][:2] == [
        ["package-0", "no"],
        ["package-0-dram", "no"],
    ]
    command = f"sudo chmod a+r {root}/intel-rapl*/energy_uj"
    assert f"(package-0, package-0-dram); `{command}`" in done.stdout
    diagnosis = json.loads(doctor("--json").stdout)
    assert [domain["readable"] for domain in diagnosis["domains"]] == [False, False]
    assert {domain["permission_command"] for domain in diagnosis["domains"]} == {command}


def test_help_explains_the_exit_code(llem: Run) -> None:
    assert "doctor" in llem("--help").stdout
    words = " ".join(llem("doctor", "--help").stdout.split())
    assert "Exits with code 1 if no energy source can be read" in words
    assert "--json" in words


@pytest.mark.parametrize(
    ("zone", "settings", "expected"),
    [
        ("Europe/Berlin", {}, "config set measurement.country DEU"),
        ("UTC", {}, None),
        ("Europe/Berlin", {"country": "FRA"}, None),
        ("Europe/Berlin", {"carbon_intensity_gco2_kwh": 20.0}, None),
    ],
)
def test_the_country_of_the_time_zone_is_suggested_if_none_is_set(
    zone: str, settings: dict[str, Any], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/usr/share/zoneinfo/zone.tab").is_file():
        pytest.skip("this machine has no table of time zones")
    monkeypatch.setenv("TZ", zone)
    hint = country_hint(MeasurementSettings.model_validate(settings))
    assert (hint is None) == (expected is None)
    assert (expected or "") in (hint or "")


def test_doctor_ends_with_the_suggested_country(llem: Run, no_meter: dict[str, str]) -> None:
    if not Path("/usr/share/zoneinfo/zone.tab").is_file():
        pytest.skip("this machine has no table of time zones")
    done = llem("doctor", TZ="Europe/Berlin", **no_meter)
    assert done.stdout.splitlines()[-1] == (
        "results will have no emissions, because no country is set; the time zone is one of Germany: "
        "`llem-cli config set measurement.country DEU`"
    )
