"""AMD GPUs as an energy source: whole boards, read through AMD SMI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from llem_energy._errors import GpuError, MeasurementError
from llem_energy._sources.amd_gpu import AmdGpu, amd_versions, find_amd_gpus
from llem_energy._sources.protocol import (
    GpuDiagnosis,
    Sample,
    SourceDiagnosis,
    SourceUnavailable,
    SourceVersions,
)

_MODULE = Path("/sys/module/amdgpu")


class AmdSource:
    """Meters whole GPUs by their energy counter, and reads power as a cross-check."""

    name: Final = "amd"
    kind: Final = "gpu"
    gain_share: Final = None

    def __init__(
        self,
        gpus: Sequence[int | str],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Open the GPUs.

        Args:
            gpus: indices as in `amd-smi list`, UUIDs, or places on the PCI bus (`0000:c1:00.0`).
            clock: gives the time of each sample in monotonic seconds.

        Raises:
            SourceUnavailable: no GPU is named, a GPU is partitioned, or has no energy counter.
            GpuError: no library, no driver, no permission, or no such GPU.
        """
        if not gpus:
            raise SourceUnavailable("the experiment uses no GPU")
        found = find_amd_gpus()
        # A GPU that is named twice, perhaps by index and UUID, is still one meter.
        self._gpus = list({gpu.uuid: gpu for gpu in (_find(key, found) for key in gpus)}.values())
        for gpu in self._gpus:
            _check(gpu, found)
        self._clock = clock
        self._lock = threading.Lock()
        self.devices = tuple(gpu.uuid for gpu in self._gpus)

    def read(self, *, details: bool = False) -> tuple[Sample, ...]:
        """Return one sample per GPU; see `EnergySource.read`."""
        # One reader at a time: if two calls overlap, an older value can get the later time, and
        # the counter seems to fall.
        with self._lock:
            return tuple(gpu.sample(self._clock, details=details) for gpu in self._gpus)

    def power_limit_w(self, device: str) -> float | None:
        """Return the power limit of one metered GPU."""
        return next(gpu.power_w("power1_cap") for gpu in self._gpus if gpu.uuid == device)

    def versions(self) -> SourceVersions:
        """Return the version of the driver, or of the kernel if it is part of it; the library's."""
        return SourceVersions(*amd_versions())

    def close(self) -> None:
        """Do nothing: the library stays open; see `amd_library.library`."""

    @classmethod
    def diagnose(cls) -> SourceDiagnosis:
        """Return every AMD GPU of this machine, and which of them can be metered."""
        try:
            found = find_amd_gpus()
        except GpuError as error:
            # Without the kernel module this is just a machine without an AMD GPU.
            problems = (f"no AMD GPU can be measured: {error}",) if _MODULE.exists() else ()
            return SourceDiagnosis(reason=str(error), problems=problems)
        if not found:
            return SourceDiagnosis(reason="the driver shows no AMD GPU")
        gpus = tuple(_diagnosed(gpu) for gpu in found)
        metered = tuple(gpu.snapshot.uuid for gpu in gpus if gpu.refusal is None)
        refusals = [gpu.refusal for gpu in gpus if gpu.refusal is not None]
        return SourceDiagnosis(
            reason=None if metered else "; ".join(refusals),
            open_with=metered,
            description=f"AMD GPUs: {len(metered)} of {len(gpus)}",
            gpus=gpus,
            versions=dict(zip(("amdgpu", "amd smi"), amd_versions(), strict=True)),
        )


def _find(key: int | str, found: Sequence[AmdGpu]) -> AmdGpu:
    for gpu in found:
        if gpu.is_named(key):
            return gpu
    known = ", ".join(f"{gpu.index} ({gpu.bus_id}, {gpu.uuid})" for gpu in found) or "no GPU"
    raise GpuError(f"AMD's driver has no GPU {key}, it shows {known}; name one of them")


def _check(gpu: AmdGpu, found: Sequence[AmdGpu]) -> None:
    board = gpu.bus_id.split(".", maxsplit=1)[0]
    if sum(other.bus_id.split(".", maxsplit=1)[0] == board for other in found) > 1:
        raise SourceUnavailable(
            f"GPU {gpu.uuid} is partitioned, and its counter is that of the whole board; set the "
            "compute partition to SPX"
        )
    try:
        gpu.energy_j()
    except GpuError as error:
        raise SourceUnavailable(
            f"the energy counter of GPU {gpu.uuid} cannot be read: {error}"
        ) from error


def _diagnosed(gpu: AmdGpu) -> GpuDiagnosis:
    refusal = None
    try:
        AmdSource([gpu.uuid]).close()
    except MeasurementError as error:
        refusal = str(error)
    return GpuDiagnosis(
        snapshot=gpu.snapshot(),
        refusal=refusal,
        counter_problem=refusal,
        supported_fields=(),
        module_power=False,
        other_pids=None,
    )
