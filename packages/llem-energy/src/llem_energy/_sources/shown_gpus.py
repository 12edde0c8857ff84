"""The NVIDIA GPUs that the driver shows to this process."""

from __future__ import annotations

from llem_energy._errors import GpuError
from llem_energy._sources.gpu_choice import ShownGpu
from llem_energy._sources.nvml_gpu import driver, find_gpus


def shown_gpus() -> tuple[ShownGpu, ...]:
    """Return every GPU that responds, in NVML's order, which is that of the PCI bus; () without a driver."""
    try:
        with driver():
            return tuple(
                ShownGpu(uuid=gpu.uuid, name=gpu.name, minor=gpu.minor_number())
                for gpu in find_gpus()[0]
            )
    except GpuError:
        return ()
