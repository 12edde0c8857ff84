"""Pre-flight says before the first run if the energy of the GPUs will be missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment, run_python, with_gpus
from fakes.fake_nvml import FakeGpu, Fault
from fakes.powercap import add_domain

PROGRAM = """
import json, sys
from llem_config import ExperimentConfig
from llem_energy.preflight import check, find_machine
configs = [ExperimentConfig.model_validate(each) for each in json.loads(sys.argv[1])]
report = check(configs, find_machine())
print(json.dumps([[f.message, list(f.points)] for f in report.warnings if "measured" in f.message]))
"""
NO_METER = FakeGpu(
    faults=tuple(
        Fault(function, 3)
        for function in (
            "nvmlDeviceGetFieldValues", "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage"
        )
    )
)  # fmt: skip


def warned(library: Path, folder: Path, gpu: FakeGpu, *points: tuple[str, list[str]]) -> Any:
    """Return the warnings about energy of points that run on a device with these sources."""
    add_domain(folder, "intel-rapl:0", "package-0", 0)
    configs = [
        experiment(n=n, energy={"sources": sources}, pytorch={"device": device}).model_dump(
            mode="json", exclude_none=True
        )
        for n, (device, sources) in enumerate(points, 1)
    ]
    env = {"LLEM_POWERCAP": str(folder)}
    return with_gpus(PROGRAM, library, [gpu], folder, json.dumps(configs), env=env)


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_a_meter_of_the_processor_is_none_of_the_gpus(
    library: Path, tmp_path: Path, device: str
) -> None:
    ((message, points),) = warned(
        library, tmp_path, NO_METER, (device, ["nvml", "rapl"]), ("cpu", ["rapl"])
    )
    assert message.startswith("the energy of the GPUs will not be measured: nvml: GPU ")
    assert message.endswith("; rapl: meters the processor only")
    assert points == [0]


def test_a_gpu_that_is_metered_gives_no_warning(library: Path, tmp_path: Path) -> None:
    points = ("cuda", ["nvml", "rapl"]), ("cuda", ["rapl", "nvml"]), ("cuda", ["rapl", "none"])
    assert warned(library, tmp_path, FakeGpu(), *points) == []


def test_a_point_on_the_cpu_is_not_metered_by_the_gpu_of_another_point(
    library: Path, tmp_path: Path
) -> None:
    ((message, points),) = warned(
        library, tmp_path, FakeGpu(), ("cuda", ["nvml"]), ("cpu", ["nvml"])
    )
    assert message == "no energy will be measured: nvml: the experiment uses no GPU"
    assert points == [1]


def test_without_a_gpu_auto_runs_on_the_metered_processor(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").touch()  # no driver, even on a machine that has one
    add_domain(tmp_path, "intel-rapl:0", "package-0", 0)
    config = experiment(energy={"sources": ["nvml", "rapl"]}, pytorch={"device": "auto"})
    text = json.dumps([config.model_dump(mode="json", exclude_none=True)])
    env = {"LLEM_POWERCAP": str(tmp_path), "LD_LIBRARY_PATH": str(tmp_path)}
    assert json.loads(run_python(PROGRAM, text, env=env)) == []
