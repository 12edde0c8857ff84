"""Who is on the GPUs at one instant: the processes that the driver lists, and the memory in use."""

from __future__ import annotations

import time

import msgspec

from llem_energy._errors import GpuError
from llem_energy._sources.nvml_gpu import Gpu, driver, find_gpus


class GpuTenants(msgspec.Struct, frozen=True):
    """What is on one GPU at one instant. None: not reported."""

    pids: frozenset[int] | None
    """Processes on it; inside a container these may be process ids of the host."""
    held_bytes: int | None = None
    """Memory in use, without what the driver reserves for itself."""
    power_w: float | None = None
    """Of the board, averaged by the driver if it does so."""


def gpu_tenants() -> dict[str, GpuTenants]:
    """Return what is on each GPU that responds, by its UUID; {} without a driver.

    The driver takes milliseconds, so do not call this inside a measured window.
    """
    try:
        with driver():
            return {
                gpu.uuid: GpuTenants(gpu.pids(), gpu.held_bytes(), _power_w(gpu))
                for gpu in find_gpus()[0]
            }
    except GpuError:
        return {}


def _power_w(gpu: Gpu) -> float | None:
    sample = gpu.sample(time.perf_counter, details=False)
    return sample.power_w if sample.power_average_w is None else sample.power_average_w
