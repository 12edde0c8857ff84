"""Who is on the GPUs at one instant: the processes that the driver lists, and the memory in use."""

from __future__ import annotations

import msgspec

from llem_energy._errors import GpuError
from llem_energy._sources.nvml_gpu import driver, find_gpus


class GpuTenants(msgspec.Struct, frozen=True):
    """What is on one GPU at one instant. None: not reported."""

    pids: frozenset[int] | None
    """Processes that compute on it; inside a container these may be process ids of the host."""
    held_bytes: int | None = None
    """Memory in use, without what the driver reserves for itself."""


def gpu_tenants() -> dict[str, GpuTenants]:
    """Return what is on each GPU that responds, by its UUID; {} without a driver.

    The driver takes milliseconds, so do not call this inside a measured window.
    """
    try:
        with driver():
            return {
                gpu.uuid: GpuTenants(gpu.compute_pids(), gpu.held_bytes()) for gpu in find_gpus()[0]
            }
    except GpuError:
        return {}
