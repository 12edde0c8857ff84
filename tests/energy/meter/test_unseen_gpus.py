"""The joules of a processor are not the total of a GPU that the library of the driver does not show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from energy.meter.test_failing_sources import SOURCE
from energy.parts import run_python, with_gpus
from fakes.fake_nvml import FakeGpu

PROGRAM = """
import json, os, sys, time
from types import SimpleNamespace
from llem_energy import EnergyMeter
if "torch" in os.environ["SIGNS"]:
    sys.modules["torch"] = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True,
        is_initialized=lambda: False, synchronize=lambda: None))
with EnergyMeter(sources=json.loads(os.environ["SOURCES"])) as meter:
    with meter.window() as window:
        time.sleep(0.5)
energy = window.energy
print(json.dumps([energy.total_j, energy.status, energy.reasons]))
"""


@pytest.mark.parametrize(
    ("sign", "sources", "is_missing"),
    [
        ("", ["nvml", "shaky"], False),
        ("nvidia0", ["nvml", "shaky"], True),
        ("nvidiactl", ["nvml", "shaky"], False),
        ("torch", ["nvml", "shaky"], True),
    ],
)
def test_the_joules_of_the_processor_are_not_the_total(
    tmp_path: Path, no_meter: dict[str, str], sign: str, sources: list[str], is_missing: bool
) -> None:
    devices = tmp_path / "dev"
    devices.mkdir()
    if sign.startswith("nvidia"):
        (devices / sign).touch()
    environment = {
        **no_meter, **processor(tmp_path),
        "LLEM_DEV": str(devices), "SIGNS": sign, "SOURCES": json.dumps(sources),
    }  # fmt: skip
    total_j, status, reasons = answer(run_python(PROGRAM, env=environment))
    if not is_missing:
        assert total_j > 0
        assert not any("although" in reason for reason in reasons)
        return
    assert (total_j, status) == (None, "missing")
    assert any("no GPU can be metered although" in reason for reason in reasons)


def test_a_process_without_gpus_meters_the_processor_where_the_driver_shows_some(
    library: Path, tmp_path: Path
) -> None:
    (tmp_path / "nvidia0").touch()
    environment = {
        **processor(tmp_path), "LLEM_DEV": str(tmp_path), "SIGNS": "",
        "SOURCES": '["nvml", "shaky"]', "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    gpu = FakeGpu(points=((0.0, 300.0),), uuid="GPU-a")
    out = with_gpus(PROGRAM, library, [gpu], tmp_path, env=environment)
    total_j, _, reasons = out
    assert total_j == pytest.approx(0.5 * 160.0, rel=0.5)
    assert not any("although" in reason for reason in reasons)


def processor(folder: Path) -> dict[str, str]:
    """Return the environment of a process that finds a meter of the processor, of 160 W."""
    (folder / "shaky.py").write_text(SOURCE)
    (folder / "state").write_text("works")
    info = folder / "shaky-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shaky\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[llem.energy_sources]\nshaky = shaky:Shaky\n")
    return {"PYTHONPATH": str(folder), "SHAKY": str(folder / "state")}


def answer(out: str) -> list[Any]:
    return list(json.loads(out))
