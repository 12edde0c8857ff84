"""Clients of the Multi-Process Service, and graphics processes, are users of a GPU like any others."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
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


SHARING = """
import json, sys
from llem_energy._measurement.gpu_sharing import TenantLists, gpu_sharing
from llem_energy.tenants import gpu_tenants
tenants = gpu_tenants()
(uuid,) = tenants
lists = TenantLists(tenants, tenants, tenants)
(sharing,) = gpu_sharing(lists, own_pids={int(sys.argv[1])}, used=[uuid]).values()
print(json.dumps([sharing.is_shared, sharing.n_at_start]))
"""
OWN, FOREIGN = 4242, 4343


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """Yield the id of a process that has the name of the server."""
    program = tmp_path / "nvidia-cuda-mps-server"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([program, "600"]) as process:
        yield process.pid
        process.kill()


@pytest.mark.parametrize(
    ("clients", "expected"), [((OWN,), [False, 0]), ((OWN, FOREIGN), [True, 1])]
)
def test_only_foreign_clients_of_the_service_share_the_gpu(
    library: Path, tmp_path: Path, server: int, clients: tuple[int, ...], expected: list[object]
) -> None:
    listed = (Process(server), *(Process(pid, mps=True) for pid in clients))
    gpu = FakeGpu(processes=listed)
    assert with_gpus(SHARING, library, [gpu], tmp_path, str(OWN)) == expected


def test_the_server_stands_for_clients_that_a_driver_does_not_list(
    library: Path, tmp_path: Path, server: int
) -> None:
    fault = Fault("nvmlDeviceGetMPSComputeRunningProcesses_v3", 3)
    gpu = FakeGpu(processes=(Process(server), Process(OWN, mps=True)), faults=(fault,))
    assert with_gpus(SHARING, library, [gpu], tmp_path, str(OWN)) == [True, 1]
