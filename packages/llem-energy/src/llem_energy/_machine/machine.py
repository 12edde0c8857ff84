"""The machine as a study finds it: settings, GPUs and memory, read once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import msgspec

from llem_config import Settings, load_settings
from llem_energy._host.host_load import HostLoad
from llem_energy._host.observe import observe_load
from llem_energy._machine.device_memory import device_memory_bytes, host_memory_bytes
from llem_energy._sources.amd_gpu import snapshot_amd_gpus
from llem_energy._sources.nvml_gpu import snapshot_gpus

_WATCH_S = 0.2


class MachineGpu(msgspec.Struct, frozen=True):
    """One GPU that the driver shows."""

    uuid: str
    memory_bytes: int | None
    """None if the driver does not report it."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a study needs to know about the machine; `find_machine` makes it once for the whole study."""

    settings: Settings
    gpus: tuple[MachineGpu, ...] = ()
    """Every NVIDIA GPU, in NVML's order; if there is none, every AMD GPU."""
    visible_gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs that CUDA_VISIBLE_DEVICES leaves visible."""
    host_memory_bytes: int | None = None
    load: HostLoad | None = None
    """Other load at that time; None if it is not reported."""

    def memory_bytes(
        self,
        device: Literal["auto", "gpu", "cpu"] | None,
        *,
        is_spread: bool | None,
        gpus: Sequence[str],
    ) -> int | None:
        """Return the memory that a model can use; see `device_memory_bytes`.

        Args:
            device: where the model runs.
            is_spread: over several GPUs.
            gpus: UUIDs of the GPUs that it may use.
        """
        return device_memory_bytes(
            device,
            is_spread=is_spread,
            gpus_bytes=[g.memory_bytes for g in self.gpus if g.uuid in gpus and g.memory_bytes],
            host_bytes=self.host_memory_bytes,
        )


def find_machine(settings: Settings | None = None) -> Machine:
    """Return this machine. Opens the GPU driver once and closes it again; takes 0.2 s.

    Args:
        settings: of this machine; None loads them.

    Raises:
        ConfigError: the settings are loaded and contain a mistake.
    """
    if settings is None:
        settings = load_settings()
    # An inference library is built for one of the two makers; most machines have GPUs of one.
    snapshots = snapshot_gpus(()) or snapshot_amd_gpus()
    gpus = tuple(MachineGpu(gpu.uuid, gpu.memory_bytes) for gpu in snapshots)
    return Machine(
        settings=settings,
        gpus=gpus,
        visible_gpus=_visible([gpu.uuid for gpu in gpus], os.environ.get("CUDA_VISIBLE_DEVICES")),
        host_memory_bytes=host_memory_bytes(),
        load=observe_load(_WATCH_S),
    )


def _visible(uuids: Sequence[str], variable: str | None) -> tuple[str, ...]:
    if variable is None:
        return tuple(uuids)
    names = [name.strip() for name in variable.split(",") if name.strip()]
    if all(name.startswith("GPU-") for name in names):
        return tuple(uuid for uuid in uuids if uuid.startswith(tuple(names))) if names else ()
    # CUDA may number the GPUs in another order than the driver, so all of them may be visible.
    return tuple(uuids)
