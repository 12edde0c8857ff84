"""The machine as a study finds it: settings, GPUs and memory, read once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

import msgspec

from llem_config import Settings, load_settings
from llem_config.settings import ENV_OTHER_JOBS
from llem_energy._host.host_load import HostLoad
from llem_energy._host.observe import observe_load
from llem_energy._machine.device_memory import device_memory_bytes, host_memory_bytes
from llem_energy._sources.amd_gpu import snapshot_amd_gpus
from llem_energy._sources.gpu_choice import (
    BY_BUS,
    ORDER,
    VISIBLE,
    GpuChoice,
    Grant,
    ShownGpu,
    choose_gpus,
)
from llem_energy._sources.gpu_snapshot import GpuSnapshot
from llem_energy._sources.nvml_gpus import snapshot_gpus

_WATCH_S = 0.2


class MachineGpu(msgspec.Struct, frozen=True):
    """One GPU that the driver shows."""

    uuid: str
    """UUID."""
    memory_bytes: int | None
    """None if the driver does not report it."""
    name: str | None = None
    """Name of the product; None: not reported."""
    power_limit_w: float | None = None
    """Power limit; None: not reported."""
    power_limit_default_w: float | None = None
    """Power limit without a setting of the user."""
    mig: bool | None = None
    """Whether the GPU is divided into instances."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a study needs to know about the machine; `find_machine` makes it once for the whole study."""

    settings: Settings
    """Of this machine."""
    gpus: tuple[MachineGpu, ...] = ()
    """Every NVIDIA GPU, in NVML's order; if there is none, every AMD GPU."""
    is_nvidia: bool = True
    """Whether `gpus` are those of NVIDIA, which a run is given by UUID."""
    visible_gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs that a cluster and CUDA_VISIBLE_DEVICES leave to this process."""
    gpu_problem: str | None = None
    """Why it cannot be told which GPUs these are; `visible_gpus` then has all that may be meant."""
    run_variables: dict[str, str] = {}
    """What the processes of runs must have in their environment, so that they use no other GPU."""
    host_memory_bytes: int | None = None
    """Installed memory; None: not reported."""
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


def find_machine(settings: Settings | None = None, *, grant: Grant | None = None) -> Machine:
    """Return this machine. Opens the GPU driver once and closes it again; takes 0.2 s.

    Args:
        settings: of this machine; None loads them.
        grant: of the cluster that started this process; None if none has.

    Raises:
        ConfigError: the settings are loaded and contain a mistake.
    """
    if settings is None:
        settings = load_settings()
    # An inference library is built for one of the two makers; most machines have GPUs of one.
    nvidia = snapshot_gpus(())
    snapshots = nvidia or snapshot_amd_gpus()
    gpus = tuple(
        MachineGpu(
            gpu.uuid,
            gpu.memory_bytes,
            gpu.name,
            gpu.power_limit_w,
            gpu.power_limit_default_w,
            gpu.mig,
        )
        for gpu in snapshots
    )
    choice = _choice(nvidia, grant) if nvidia else GpuChoice(_visible_amd(gpus))
    return Machine(
        settings=settings,
        gpus=gpus,
        is_nvidia=bool(nvidia) or not gpus,
        visible_gpus=choice.uuids,
        gpu_problem=choice.problem,
        run_variables=_run_variables(choice, grant),
        host_memory_bytes=host_memory_bytes(),
        load=observe_load(_WATCH_S),
    )


def _choice(snapshots: Sequence[GpuSnapshot], grant: Grant | None) -> GpuChoice:
    shown = [ShownGpu(uuid=gpu.uuid, name=gpu.name, minor=gpu.minor_number) for gpu in snapshots]
    return choose_gpus(shown, os.environ, grant)


def _run_variables(choice: GpuChoice, grant: Grant | None) -> dict[str, str]:
    variables: dict[str, str] = {}
    if grant is not None and not grant.whole_machine:
        variables[ENV_OTHER_JOBS] = "possible"
    if choice.problem is None and choice.is_limited:
        variables |= {VISIBLE: ",".join(choice.uuids), ORDER: BY_BUS}
    return variables


def _visible_amd(gpus: Sequence[MachineGpu]) -> tuple[str, ...]:
    """Return every AMD GPU, unless an empty variable hides all; its numbers are in another order."""
    return () if os.environ.get(VISIBLE) == "" else tuple(gpu.uuid for gpu in gpus)
