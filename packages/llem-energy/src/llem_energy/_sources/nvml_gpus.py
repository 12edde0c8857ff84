"""One fact about every NVIDIA GPU of this machine, asked once; nothing without a driver."""

from __future__ import annotations

from collections.abc import Collection

from llem_energy._errors import GpuError
from llem_energy._sources.gpu_snapshot import GpuSnapshot
from llem_energy._sources.nvml_gpu import driver, find_gpus


def snapshot_gpus(own_pids: Collection[int]) -> tuple[GpuSnapshot, ...]:
    """Return a snapshot of every GPU that responds; () without a driver."""
    try:
        with driver():
            return tuple(gpu.snapshot(own_pids) for gpu in find_gpus()[0])
    except GpuError:
        return ()


def gpu_uuids() -> tuple[str, ...]:
    """Return the UUID of every GPU that responds, in NVML's order; () without a driver."""
    try:
        with driver():
            return tuple(gpu.uuid for gpu in find_gpus()[0])
    except GpuError:
        return ()


def compute_capabilities() -> dict[str, tuple[int, int]]:
    """Return the compute capability of every GPU that reports it, by UUID; {} without a driver."""
    try:
        with driver():
            versions = {gpu.uuid: gpu.compute_capability() for gpu in find_gpus()[0]}
    except GpuError:
        return {}
    return {uuid: version for uuid, version in versions.items() if version is not None}


def gpu_temperatures_c() -> tuple[float, ...]:
    """Return the temperature of every GPU that reports it; () without a driver."""
    try:
        with driver():
            values = [gpu.temperature_c() for gpu in find_gpus()[0]]
    except GpuError:
        return ()
    return tuple(value for value in values if value is not None)
