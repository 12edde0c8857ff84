"""The state of one GPU before a measurement."""

from __future__ import annotations

import msgspec


class GpuSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of one GPU before the measurement. None: not reported."""

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
