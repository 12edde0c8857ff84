"""Clients of the Multi-Process Service, and graphics processes, are users of a GPU like any others."""

from __future__ import annotations

from pathlib import Path

from energy.parts import with_gpus
from fakes.fake_nvml import FakeGpu, Fault, Process

LISTS = """
import json
from llem_config import Settings
from llem_energy.doctor import diagnose
from llem_energy.sources import NvmlSource
from llem_energy.tenants import gpu_tenants
(sample,) = NvmlSource([0]).read(details=True)
(tenants,) = gpu_tenants().values()
(gpu,) = diagnose(Settings()).gpus
print(json.dumps([sorted(sample.pids), sorted(tenants.pids), gpu.other_pids]))
"""


def test_clients_are_listed_beside_their_server(library: Path, tmp_path: Path) -> None:
    gpu = FakeGpu(processes=(Process(77), Process(4242, mps=True), Process(4343, mps=True)))
    assert with_gpus(LISTS, library, [gpu], tmp_path) == [[77, 4242, 4343]] * 3


def test_a_driver_without_this_list_still_has_the_other(library: Path, tmp_path: Path) -> None:
    fault = Fault("nvmlDeviceGetMPSComputeRunningProcesses_v3", 3)
    gpu = FakeGpu(processes=(Process(77), Process(4242, mps=True)), faults=(fault,))
    assert with_gpus(LISTS, library, [gpu], tmp_path) == [[77]] * 3


def test_graphics_processes_are_listed_too(library: Path, tmp_path: Path) -> None:
    gpu = FakeGpu(processes=(Process(77), Process(4242, graphics=True)))
    assert with_gpus(LISTS, library, [gpu], tmp_path) == [[77, 4242]] * 3
