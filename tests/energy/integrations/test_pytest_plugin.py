"""The fixture `energy`, in sessions of pytest with a scripted GPU and without a meter."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

INERT = """
import sys

def test_nothing_is_imported_for_a_test_without_the_fixture():
    assert "llem_energy.integrations.pytest_plugin" in sys.modules
    heavy = ("torch", "pynvml", "pydantic", "msgspec", "llem_energy._meter.energy_meter")
    assert [name for name in heavy if name in sys.modules] == []
"""
TESTS = """
import time
import pytest

def test_measured(energy):
    time.sleep(0.6)

@pytest.mark.energy(budget_j=30)
def test_over_its_budget(energy):
    time.sleep(0.6)

@pytest.mark.energy(budget_j=5000)
def test_within_its_budget(energy):
    with energy.meter.window("inner") as inner:
        time.sleep(0.6)
    assert inner.energy.total_j > 0

def test_fails_and_is_measured(energy):
    time.sleep(0.3)
    assert False

@pytest.mark.energy(budget_j="much")
def test_of_a_wrong_budget(energy):
    pass

def test_stops_early(energy):
    time.sleep(0.6)
    found = energy.so_far
    time.sleep(0.6)
    assert energy.so_far is found
"""
BUDGET = """
import pytest

@pytest.mark.energy(budget_j=1)
def test_budget(energy):
    assert energy.so_far.total_j is None
"""


def session(
    folder: Path, env: dict[str, str], tests: str, *flags: str
) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(tests)
    (folder / "pytest.ini").touch()  # else pytest looks for settings in the folders above
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *flags, "test_it.py"],
        cwd=folder,
        env={name: value for name, value in env.items() if "PYTEST" not in name},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_the_plugin_is_inert_until_a_test_requests_the_fixture(
    tmp_path: Path, gpu_env: dict[str, str]
) -> None:
    done = session(tmp_path, gpu_env, INERT)
    assert done.returncode == 0, done.stdout
    assert "= energy =" not in done.stdout


def test_the_energy_of_tests_is_shown_and_budgets_are_checked(
    tmp_path: Path, gpu_env: dict[str, str]
) -> None:
    done = session(tmp_path, gpu_env, TESTS, "--junitxml=results.xml")
    assert "3 failed, 3 passed" in done.stdout, done.stdout
    assert re.search(
        r"the test used [\d.]+ ± [\d.e+]+ J, more than its budget of 30 J", done.stdout
    )
    assert "expected budget_j in joules above 0, found 'much'" in done.stdout
    _, _, summary = done.stdout.partition("= energy =")
    of_tests = [line for line in summary.splitlines() if "test_it.py::" in line and " J, " in line]
    lines = [line for line in of_tests if not line.startswith("FAILED")]  # whole if CI is set
    assert len(lines) == 6
    assert any("test_it.py::test_measured" in line for line in lines)
    # 0.6 s or a little more at 200 to 400 W, apart from the bound of a short test.
    energies = {
        case.get("name"): float(item.get("value", "nan"))
        for case in ET.parse(tmp_path / "results.xml").iter("testcase")
        for item in case.iter("property")
        if item.get("name") == "energy_j"
    }
    assert energies["test_measured"] > 60
    assert energies["test_stops_early"] > 60


def test_without_a_meter_tests_pass_unless_the_energy_is_required(
    tmp_path: Path, without_gpu: dict[str, str]
) -> None:
    done = session(tmp_path, without_gpu, BUDGET)
    assert done.returncode == 0, done.stdout
    assert "missing  test_it.py::test_budget: no energy was measured: nvml: " in done.stdout
    done = session(tmp_path, without_gpu, BUDGET, "-o", "energy_required=true")
    assert done.returncode == 1
    assert "the energy is missing: no energy was measured" in done.stdout


def test_tests_in_several_processes_are_shown_with_a_note(
    tmp_path: Path, without_gpu: dict[str, str]
) -> None:
    done = session(tmp_path, without_gpu, BUDGET, "-n", "1")
    assert "missing  test_it.py::test_budget" in done.stdout, done.stdout
    assert "the energy of each may contain that of others" in done.stdout
