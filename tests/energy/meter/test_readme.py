"""The first example of the README runs as it stands, and its other calls exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import fake_nvml
from fakes.fake_nvml import FakeGpu

README = Path(__file__).parents[3] / "packages" / "llem-energy" / "README.md"
MIGRATION = Path(__file__).parents[3] / "benchmarks" / "energy" / "migration"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


def test_the_twelve_lines_run_as_they_stand(library: Path, tmp_path: Path) -> None:
    program = BLOCKS[0]
    assert len(list(filter(None, program.splitlines()))) <= 12
    gpu = FakeGpu(points=((0.0, 300.0),), uuid="GPU-of-the-readme")
    fake_nvml.write_trace(tmp_path / "gpus.trace", [gpu])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ
        | fake_nvml.environment(library, tmp_path / "gpus.trace")
        | {"LLEM_CACHE": str(tmp_path / "calibrations.json")},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    match = re.fullmatch(r"(\S+) s, (\S+) J, error at most (\S+) J", lines[0])
    assert match, done.stdout
    duration_s, energy_j, bound_j = map(float, match.groups())
    assert abs(energy_j - 300 * duration_s) <= bound_j + 3.1, "durations are printed to 0.01 s"
    assert re.fullmatch(rf"GPU-of-the-readme {energy_j} J, 300 W", lines[1])
    assert lines[2].split()[0] in ("ok", "flagged")


def test_a_script_moves_from_zeus_by_its_import_and_three_lines(
    library: Path, tmp_path: Path
) -> None:
    # The script with Zeus runs in `benchmarks/energy_meter.py migration`, which installs Zeus.
    gpu = FakeGpu(points=((0.0, 300.0),))
    fake_nvml.write_trace(tmp_path / "gpus.trace", [gpu])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(MIGRATION / "with_llem.py")],
        env=os.environ
        | fake_nvml.environment(library, tmp_path / "gpus.trace")
        | {"LLEM_CACHE": str(tmp_path / "calibrations.json")},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    steps = re.findall(r": (\S+) s, (\S+) J", done.stdout)
    assert len(steps) == 4
    # The bound of a short window in the mode light is about two periods of the counter.
    assert all(float(joules) == pytest.approx(300 * float(s), rel=0.3) for s, joules in steps)
    changes = [
        line
        for line in (MIGRATION / "with_llem.py").read_text("utf-8").splitlines()[1:]
        if line not in (MIGRATION / "with_zeus.py").read_text("utf-8").splitlines()
    ]
    assert [line for line in changes if "import" in line] == ["from llem_energy import EnergyMeter"]
    assert len(changes) == 4


def test_each_call_of_the_migration_tables_exists() -> None:
    import llem_energy

    text = README.read_text("utf-8")
    called = set(re.findall(r"\bmeter\.(?!md\b)(\w+)", text))
    assert {"window", "begin_window", "end_window", "close"} <= called
    assert all(hasattr(llem_energy.EnergyMeter, name) for name in called)
    of_windows = set(re.findall(r"\bwindow\.(\w+)", text))
    assert all(hasattr(llem_energy.EnergyWindow, name) for name in of_windows)
    of_energies = set(re.findall(r"\benergy\.(?!md\b)(\w+)", text))
    assert all(hasattr(llem_energy.WindowEnergy, name) for name in of_energies)
