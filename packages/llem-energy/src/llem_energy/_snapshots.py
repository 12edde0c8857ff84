"""The machine as it was before a measurement, part of every result."""

from __future__ import annotations

import msgspec


class GpuSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GPU as it was before the measurement."""

    index: int
    uuid: str
    name: str
    power_limit_w: float | None
    power_limit_default_w: float | None
    vbios: str | None
    memory_bytes: int | None
    sm_clock_max_mhz: float | None
    application_sm_clock_mhz: float | None
    persistence_mode: bool | None
    ecc: bool | None
    mig: bool | None
    compute_mode: int | None
    n_other_processes: int | None
    temperature_c: float | None
    virtualization: str | None = None
    """`none` on bare metal; else how a hypervisor shares the GPU."""


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
