"""The state of one GPU before a measurement."""

from __future__ import annotations

from collections.abc import Collection

import msgspec


class GpuSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of one GPU before the measurement. None: not reported."""

    index: int
    """Number of the GPU on the machine, from 0."""
    uuid: str
    """UUID of the GPU."""
    name: str
    """Name of the GPU."""
    power_limit_w: float | None
    """Power limit."""
    power_limit_default_w: float | None
    """Power limit without a setting of the user."""
    vbios: str | None
    """Version of the video BIOS."""
    memory_bytes: int | None
    """Memory of the GPU."""
    sm_clock_max_mhz: float | None
    """Maximum clock of the multiprocessors."""
    application_sm_clock_mhz: float | None
    """Clock of the multiprocessors that is set for applications."""
    persistence_mode: bool | None
    """Whether the driver stays loaded without a program that uses the GPU."""
    ecc: bool | None
    """Whether errors of the memory are corrected."""
    mig: bool | None
    """Whether the GPU is divided into instances."""
    compute_mode: int | None
    """Which processes may use the GPU: 0 all, 2 none, 3 one."""
    n_other_processes: int | None
    """Other processes that use the GPU."""
    temperature_c: float | None
    """Temperature before the run."""
    virtualization: str | None = None
    """`none` on bare metal; else how a hypervisor shares the GPU."""
    sm_clock_mhz: float | None = None
    """Clock of the multiprocessors before the run; an idle GPU lowers it."""
    application_sm_clock_default_mhz: float | None = None
    """Clock of the multiprocessors for applications without a setting of the user."""
    application_memory_clock_mhz: float | None = None
    """Clock of the memory that is set for applications."""
    application_memory_clock_default_mhz: float | None = None
    """Clock of the memory for applications without a setting of the user."""
    clocks_locked: bool | None = None
    """Whether a setting limits the clocks; the driver can show a lock, but never exclude one."""
    clocks_locked_reason: str | None = None
    """What shows the lock, or why it is unknown; None in results of earlier versions."""
    bus_id: str | None = None
    """Place of an AMD GPU on the PCI bus, by which PyTorch names it."""
    minor_number: int | None = None
    """Number in the name of the device file, by which a cluster names the GPU."""

    def is_among(self, names: Collection[str]) -> bool:
        """Return whether one of the names is that of this GPU: its UUID, or its place."""
        return self.uuid in names or (self.bus_id is not None and self.bus_id in names)
