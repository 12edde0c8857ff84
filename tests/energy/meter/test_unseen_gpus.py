"""The joules of a processor are not the total of a GPU that the library of the driver does not show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from energy.meter.test_failing_sources import SOURCE
from energy.parts import run_python

PROGRAM = """
import json, os, sys, time
from pathlib import Path
from types import SimpleNamespace
from llem_energy import EnergyMeter
from llem_energy._sources import unseen_gpus
unseen_gpus._DEVICES = Path(os.environ["DEVICES"])
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
    (tmp_path / "shaky.py").write_text(SOURCE)
    (tmp_path / "state").write_text("works")
    info = tmp_path / "shaky-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shaky\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[llem.energy_sources]\nshaky = shaky:Shaky\n")
    environment = {
        **no_meter,
        "PYTHONPATH": str(tmp_path), "SHAKY": str(tmp_path / "state"), "DEVICES": str(devices),
        "SIGNS": sign, "SOURCES": json.dumps(sources),
    }  # fmt: skip
    total_j, status, reasons = answer(run_python(PROGRAM, env=environment))
    if not is_missing:
        assert total_j > 0
        assert not any("although" in reason for reason in reasons)
        return
    assert (total_j, status) == (None, "missing")
    assert any("no GPU can be metered although" in reason for reason in reasons)


def answer(out: str) -> list[Any]:
    return list(json.loads(out))
