"""The state of the machine before a measurement, part of every result."""

from __future__ import annotations

import msgspec

from llem_energy._sources.gpu_snapshot import GpuSnapshot


class EnvironmentSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Properties of machine and software that can affect a measurement."""

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
    """Installed version of each library that is used."""
    environment: dict[str, str]
    """Variables that control CUDA, torch and threads, if set."""
    cuda_driver: str | None = None
    """Newest CUDA version that the driver supports."""
    boot_id: str | None = None
    """The kernel's id of the current boot."""
