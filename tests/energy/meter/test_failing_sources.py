"""Sources of other packages that fail while the meter reads them: windows say so, programs go on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from energy.parts import run_python, with_gpus
from fakes.fake_nvml import FakeGpu, Fault

LOST_S = 12.0  # after which the meter has been calibrated and opened

SOURCE = """
import os
import time
from pathlib import Path

from llem_energy.sources import Sample, SourceVersions

STATE = Path(os.environ["SHAKY"])


class Shaky:
    kind = "cpu"
    name = "shaky"
    devices = ("a", "b")
    gain_share = None

    def __init__(self, gpus):
        pass

    def versions(self):
        return SourceVersions("1", "1")

    def read(self, *, details=False):
        state = STATE.read_text()
        if state == "raises":
            raise OSError("the bus is gone")
        now_s = time.perf_counter()
        count = round(80 * now_s, 1)
        b = {"without b": None, "odd": "many joules"}.get(state, count)
        return (Sample("a", now_s, 1e-5, energy_j=count), Sample("b", now_s, 1e-5, energy_j=b))

    def power_limit_w(self, device):
        if STATE.read_text() == "raises":
            raise OSError("the bus is gone")
        return 200.0

    def close(self):
        pass
"""
BEGIN = """
import json, os, time
from pathlib import Path
from llem_energy import EnergyMeter
STATE = Path(os.environ["SHAKY"])
def seen(energy):
    return [energy.total_j, energy.bound_j, energy.status, energy.reasons,
            {d.device: d.energy_j for d in energy.devices}]
def measured(meter, state, seconds=0.5):
    STATE.write_text(state)
    time.sleep(0.3)
    with meter.window() as window:
        time.sleep(seconds)
    answer = [window.duration_s, *seen(window.energy)]
    return answer + [window.energy.host and seen(window.energy.host)]
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process that finds the source."""
    (tmp_path / "shaky.py").write_text(SOURCE)
    (tmp_path / "state").write_text("works")
    info = tmp_path / "shaky-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shaky\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[llem.energy_sources]\nshaky = shaky:Shaky\n")
    return {
        "PYTHONPATH": str(tmp_path),
        "SHAKY": str(tmp_path / "state"),
        "LLEM_CACHE": str(tmp_path / "calibrations.json"),
        "LLEM_POWERCAP": str(tmp_path / "absent"),
    }


def is_right(window: list[Any], watts: float) -> bool:
    seconds, total_j, bound_j = window[:3]
    return bool(abs(total_j - watts * seconds) <= bound_j)


def test_a_source_that_raises_costs_the_windows_in_which_it_does(env: dict[str, str]) -> None:
    program = BEGIN + (
        "with EnergyMeter([], sources=['shaky'], mode='light') as meter:\n"
        "    states = ('works', 'raises', 'without b', 'works')\n"
        "    print(json.dumps([measured(meter, state, 4.0) for state in states]))\n"
    )
    first, raised, without_b, last = json.loads(run_python(program, env=env))
    assert is_right(first, 160.0) and is_right(last, 160.0)
    _, total_j, _, status, reasons, devices, _ = raised
    assert (total_j, status, devices) == (None, "missing", {"a": None, "b": None})
    assert "shaky could not be read in the window (OSError: the bus is gone)" in reasons
    assert without_b[1] is None and without_b[3] == "missing"
    assert not any("its meter failed" in reason for reason in last[4])
    assert without_b[5]["a"] == pytest.approx(80 * without_b[0], rel=0.1)
    assert without_b[5]["b"] is None
    assert all(not reason.startswith("a:") or "missing" not in reason for reason in without_b[4])
    assert not any("could not be read" in reason for reason in (*without_b[4], *last[4]))


@pytest.mark.parametrize("mode", ["exact", "light"])
def test_of_a_gpu_that_is_lost_in_the_window_it_is_known_how_long_it_was_read(
    library: Path, tmp_path: Path, env: dict[str, str], mode: str
) -> None:
    program = BEGIN + (
        f"with EnergyMeter(mode={mode!r}) as meter:\n"
        "    epoch = float(os.environ['LLEM_FAKE_NVML_EPOCH'])\n"
        "    left_s = epoch + LOST_S - time.monotonic()\n"
        "    print(json.dumps([measured(meter, 'works', left_s + 0.7)]))\n"
    ).replace("LOST_S", str(LOST_S))
    gpu = FakeGpu(points=((0.0, 300.0),), uuid="GPU-a", faults=(Fault("*", 15, LOST_S),))
    [(seconds, total_j, _, status, reasons, *_)] = with_gpus(
        program, library, [gpu], tmp_path, env=env
    )
    assert (total_j, status) == (None, "missing")
    [reason] = [reason for reason in reasons if "its meter failed" in reason]
    found = re.fullmatch(
        r"GPU-a: its meter failed ([0-9.]+) s after the start of the window of ([0-9.]+) s; "
        r"until then its counter had risen by ([0-9.]+) J, which is not the energy of the window",
        reason,
    )
    assert found is not None, reason
    read_s, window_s, rose_j = map(float, found.groups())
    assert window_s == pytest.approx(seconds, abs=0.01)
    assert read_s < window_s - 0.5
    assert rose_j == pytest.approx(300 * read_s, abs=60)  # of two updates of the counter


@pytest.mark.parametrize("state", ["raises", "odd"])
def test_a_processor_that_cannot_be_metered_does_not_cost_the_energy_of_the_gpu(
    library: Path, tmp_path: Path, env: dict[str, str], state: str
) -> None:
    program = BEGIN + (
        "with EnergyMeter(sources=['nvml', 'shaky'], mode='light') as meter:\n"
        f"    print(json.dumps([measured(meter, state, 4.0) for state in ('works', {state!r})]))\n"
    )
    gpu = FakeGpu(points=((0.0, 300.0),), uuid="GPU-a")
    works, fails = with_gpus(program, library, [gpu], tmp_path, env=env)
    assert is_right(works, 300.0) and is_right(fails, 300.0)
    assert is_right([works[0], *works[6]], 160.0)
    total_j, _, status, reasons, _ = fails[6]
    assert (total_j, status) == (None, "missing")
    error = "OSError: the bus is gone" if state == "raises" else "could not be computed (TypeError"
    assert any(error in reason for reason in reasons)
