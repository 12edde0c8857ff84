"""The machine as it was before a measurement, part of every result."""

from __future__ import annotations

import msgspec

from llem_energy._sources.gpu_snapshot import GpuSnapshot


class EnvironmentSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine and the software, as far as they can change a measurement."""

    python: str
    platform: str
    cpu_model: str | None
    n_cpus: int
    memory_bytes: int | None
    cpu_governor: str | None
    load_average_1min: float | None
    driver: str | None
    nvml: str | None
    gpus: tuple[GpuSnapshot, ...]
    packages: dict[str, str]
    """Installed version of each library that takes part."""
    environment: dict[str, str]
    """Variables that steer CUDA, torch and threads, where set."""
    cuda_driver: str | None = None
    """Newest CUDA that the driver runs."""
    boot_id: str | None = None
    """What Linux calls this boot of this machine."""
