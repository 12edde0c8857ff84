"""A study opens the driver once, reads the settings once and hashes each point once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from energy.parts import with_gpus
from fakes.fake_nvml import FakeGpu

from llem_config import Settings
from llem_energy.preflight import Machine, MachineGpu, find_machine

COUNTED = """
import ctypes, json, sys
from fakes import measures
from fakes.studies import experiment
from llem_config import StudyConfig
from llem_runner.events import StudyStarted
from llem_runner import resume_study, run_study

settings_file, folder, sources = sys.argv[1:]
n_read = n_hashed = 0

def count_open(event, arguments):
    global n_read
    n_read += event == "open" and arguments[0] == settings_file

def count_hash(frame, event, argument):
    global n_hashed
    n_hashed += event == "call" and frame.f_code.co_name == "measurement_config_hash"

def n_opened():
    return ctypes.CDLL("libnvidia-ml.so.1").fake_nvml_calls(b"nvmlInitWithFlags")

counts = []

def on_event(event):
    if isinstance(event, StudyStarted):
        counts.append([n_opened() - before[0], n_read - before[1], n_hashed - before[2]])
        folders.append(event.folder)

def points():
    options = {"device": "auto"}
    return tuple(experiment(n=n, pytorch=options, energy={"sources": [sources]}) for n in (1, 2))

if __name__ == "__main__":
    sys.addaudithook(count_open)
    sys.setprofile(count_hash)
    folders = []
    before = n_opened(), n_read, n_hashed
    study = StudyConfig(experiments=points())
    run_study(study, output=folder, measure=measures.quick, on_event=on_event)
    before = n_opened(), n_read, n_hashed
    resume_study(folders[0], measure=measures.quick, on_event=on_event)
    print(json.dumps(counts))
"""


@pytest.mark.parametrize(
    ("sources", "n_opened"), [("none", 1), ("nvml", 2)], ids=["no energy", "energy"]
)
def test_driver_settings_and_hashes_are_read_once_before_the_first_run(
    library: Path, tmp_path: Path, sources: str, n_opened: int
) -> None:
    """If energy is measured, the check of its source opens the driver a second time."""
    settings = tmp_path / "settings.yaml"
    settings.write_text("execution: {config_gap_seconds: 0, cycle_gap_seconds: 0}\n")
    env = {"LLEM_CONFIG": str(settings), "PYTHONPATH": str(Path(__file__).parents[2])}
    gpu = FakeGpu(uuid=f"GPU-machine-{os.getpid()}-{sources}")
    started, resumed = with_gpus(
        COUNTED, library, [gpu], tmp_path, str(settings), str(tmp_path / "results"), sources,
        env=env,
    )  # fmt: skip
    assert started == [n_opened, 1, 2]
    assert resumed[:2] == [n_opened, 1]


PRINT_MACHINE = """
import json
from llem_energy.preflight import find_machine
machine = find_machine()
print(json.dumps([[[g.uuid, g.memory_bytes] for g in machine.gpus], machine.visible_gpus]))
"""


@pytest.mark.parametrize(
    ("variable", "visible"),
    [
        (None, ["GPU-a", "GPU-b"]),
        ("GPU-b", ["GPU-b"]),
        ("", []),
        ("1", ["GPU-b"]),
    ],
)
def test_the_machine_has_every_gpu_and_knows_the_visible_ones(
    library: Path, tmp_path: Path, variable: str | None, visible: list[str]
) -> None:
    gpus = [FakeGpu(uuid="GPU-a", memory_bytes=8), FakeGpu(uuid="GPU-b", memory_bytes=16)]
    env = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    machine: list[Any] = with_gpus(PRINT_MACHINE, library, gpus, tmp_path, env=env)
    assert machine == [[["GPU-a", 8], ["GPU-b", 16]], visible]


def test_the_memory_of_a_device_depends_on_where_the_model_runs() -> None:
    gpus = (MachineGpu("a", 10), MachineGpu("b", 30), MachineGpu("c", None))
    machine = Machine(settings=Settings(), gpus=gpus, host_memory_bytes=100)
    every = ("a", "b", "c")
    assert machine.memory_bytes("cpu", is_spread=False, gpus=every) == 100
    assert machine.memory_bytes("auto", is_spread=False, gpus=every) == 30
    assert machine.memory_bytes("auto", is_spread=False, gpus=("a",)) == 10
    assert machine.memory_bytes("gpu", is_spread=True, gpus=every) == 40
    assert machine.memory_bytes("gpu", is_spread=None, gpus=every) == 40
    assert machine.memory_bytes("auto", is_spread=False, gpus=()) == 100
    assert machine.memory_bytes("gpu", is_spread=False, gpus=("c",)) is None
    assert machine.memory_bytes(None, is_spread=None, gpus=every) is None


def test_settings_that_the_caller_gives_are_not_loaded_again() -> None:
    settings = Settings.model_validate({"execution": {"config_gap_seconds": 3}})
    assert find_machine(settings).settings is settings
