"""The state of the machine before a measurement, part of every result."""

from __future__ import annotations

import msgspec

from llem_energy._sources.gpu_snapshot import GpuSnapshot


class EnvironmentSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Properties of machine and software that can affect a measurement."""

    python: str
    """Version of Python."""
    platform: str
    """Operating system and architecture."""
    cpu_model: str | None
    """Name of the CPU."""
    n_cpus: int
    """Number of logical CPUs."""
    memory_bytes: int | None
    """Memory of the machine."""
    cpu_governor: str | None
    """How the kernel chooses the clock of the CPUs."""
    load_average_1min: float | None
    """Load average of the last minute before the run."""
    driver: str | None
    """Version of the NVIDIA driver."""
    nvml: str | None
    """Version of NVML."""
    gpus: tuple[GpuSnapshot, ...]
    packages: dict[str, str]
    """Installed version of each library that is used."""
    environment: dict[str, str]
    """Variables that control CUDA, torch and threads, if set."""
    cuda_driver: str | None = None
    """Newest CUDA version that the driver supports."""
    amd_driver: str | None = None
    """Version of the AMD driver, or of the kernel if it is part of it."""
    amd_smi: str | None = None
    """Version of AMD's library."""
    boot_id: str | None = None
    """The kernel's id of the current boot."""
    host: str | None = None
    """Name of the machine in its network; None in results of earlier versions."""
