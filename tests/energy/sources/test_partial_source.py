"""A total of some of the GPUs of a model is no total."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from energy.parts import run_python
from energy.sources.test_example_source import METER, package

OPEN = """
import json, sys
from llem_energy.sources import open_source
source, reasons = open_source(["odd"], json.loads(sys.argv[1]))
print(json.dumps([source and source.devices, reasons]))
"""
GPUS = METER.replace('"cpu", ("a", "b")', '"gpu", ("GPU-a", "GPU-b")')


@pytest.mark.parametrize("gpus", [["GPU-a"], ["GPU-a", "GPU-b"], [0, 1, "GPU-a", "GPU-b"], []])
def test_a_source_that_meters_every_gpu_is_used(tmp_path: Path, gpus: list[int | str]) -> None:
    package(tmp_path, "meter", "odd = meter_module:Meter", GPUS)
    devices, reasons = json.loads(
        run_python(OPEN, json.dumps(gpus), env={"PYTHONPATH": str(tmp_path)})
    )
    assert (devices, reasons) == (["GPU-a", "GPU-b"], [])


@pytest.mark.parametrize("gpus", [["GPU-a", "GPU-b", "GPU-c"], [0, 1, 2], [0, "GPU-a", 1, 2]])
def test_a_source_that_meters_some_of_the_gpus_is_not_used(
    tmp_path: Path, gpus: list[int | str]
) -> None:
    package(tmp_path, "meter", "odd = meter_module:Meter", GPUS)
    code = GPUS.replace("close(self): pass", "close(self): open(__file__ + '.closed', 'w')")
    (tmp_path / "meter_module.py").write_text(code)
    devices, reasons = json.loads(
        run_python(OPEN, json.dumps(gpus), env={"PYTHONPATH": str(tmp_path)})
    )
    assert devices is None
    assert reasons == [
        "odd: it meters 2 of the 3 GPUs, so that a total would lack the energy of the others"
    ]
    assert (tmp_path / "meter_module.py.closed").exists()
