"""One AMD GPU: its energy counter by AMD's library, its power by the kernel.

The layout of the library's power struct differs between versions of ROCm. The files of the kernel
do not change: "power1_input" is the instant power and "power1_average" an average, in microwatts
(Linux kernel documentation, "GPU Power/Thermal Controls and Monitoring").
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from llem_energy._errors import GpuError
from llem_energy._sources import amd_library
from llem_energy._sources.gpu_snapshot import GpuSnapshot
from llem_energy._sources.protocol import Sample

_MODULE = Path("/sys/module/amdgpu")
PCI_DEVICES = Path(os.environ.get("LLEM_PCI_DEVICES", "/sys/bus/pci/devices"))
_MICRO = 1e-6
_UNIT_UJ = 1e6 / 2**16
"""One count of the driver, 2^-16 J. The library reports it as 15.3, which is 0.27 % too much."""
_ROUNDED_SHARE = 0.005
_JUNCTION, _MEMORY_SENSOR, _CURRENT, _VRAM, _GFX, _MEMORY_CLOCK = 1, 2, 0, 0, 0, 4


class AmdGpu:
    """One GPU in the order of the library."""

    def __init__(self, index: int, handle: ctypes.c_void_p) -> None:
        """Identify the GPU.

        Raises:
            GpuError: it does not respond.
        """
        try:
            self.uuid = amd_library.uuid(handle)
            self.bus_id = amd_library.bus_id(handle)
        except GpuError as error:
            raise GpuError(f"AMD GPU {index}: {error}") from error
        self.index = index
        self._handle = handle

    def is_named(self, key: int | str) -> bool:
        """Return whether a key is this GPU: its index, its UUID, or its place on the PCI bus."""
        if isinstance(key, int):
            return key == self.index
        word = key.lower()
        return word in (self.bus_id, self.uuid.lower(), f"gpu-{self.uuid.lower()}")

    def energy_j(self) -> float:
        """Return the energy counter in joules, from an unknown zero.

        Raises:
            GpuError: it cannot be read.
        """
        count, unit_uj = amd_library.energy_count(self._handle)
        if abs(unit_uj / _UNIT_UJ - 1) < _ROUNDED_SHARE:
            unit_uj = _UNIT_UJ
        return count * unit_uj * _MICRO

    def power_w(self, file: str) -> float | None:
        """Return what a power file of the kernel holds, in watts; None if there is none."""
        for path in PCI_DEVICES.glob(f"{self.bus_id}/hwmon/hwmon*/{file}"):
            try:
                return int(path.read_text()) * _MICRO
            except (OSError, ValueError):
                continue
        return None

    def sample(self, clock: Callable[[], float], *, details: bool) -> Sample:
        """Return one reading; a value that cannot be read is None.

        Args:
            clock: gives the time of the reading.
            details: also temperature, clocks, utilisation and memory.
        """
        before = clock()
        try:
            energy_j: float | None = self.energy_j()
        except GpuError:
            energy_j = None
        after = clock()
        sample = Sample(
            self.uuid, (before + after) / 2, after - before, energy_j=energy_j,
            power_w=self.power_w("power1_input"), power_average_w=self.power_w("power1_average"),
        )  # fmt: skip
        return self._with_details(sample) if details else sample

    def temperature_c(self) -> float | None:
        """Return the temperature of the hottest place of the chip in degrees Celsius."""
        return self._number(ctypes.c_int64, "get_temp_metric", _JUNCTION, _CURRENT)

    def _number(self, kind: type[ctypes._SimpleCData[int]], name: str, *before: int) -> int | None:
        return amd_library.number(kind, name, self._handle, *before)

    def _with_details(self, sample: Sample) -> Sample:
        busy = self._number(ctypes.c_uint32, "get_gpu_activity")
        return msgspec.structs.replace(
            sample,
            temperature_c=self.temperature_c(),
            memory_temperature_c=self._number(
                ctypes.c_int64, "get_temp_metric", _MEMORY_SENSOR, _CURRENT
            ),
            sm_clock_mhz=self._number(ctypes.c_uint32, "get_clock_info", _GFX),
            memory_clock_mhz=self._number(ctypes.c_uint32, "get_clock_info", _MEMORY_CLOCK),
            utilisation=None if busy is None else busy / 100,
            memory_used_bytes=self._number(ctypes.c_uint64, "get_gpu_memory_usage", _VRAM),
        )

    def snapshot(self) -> GpuSnapshot:
        """Return properties and state of the GPU; what AMD's library does not report is None."""
        return GpuSnapshot(
            index=self.index,
            uuid=self.uuid,
            name=amd_library.name(self._handle),
            power_limit_w=self.power_w("power1_cap"),
            power_limit_default_w=self.power_w("power1_cap_default"),
            vbios=None,
            memory_bytes=self._number(ctypes.c_uint64, "get_gpu_memory_total", _VRAM),
            sm_clock_max_mhz=None,
            application_sm_clock_mhz=None,
            persistence_mode=None,
            ecc=None,
            mig=None,
            compute_mode=None,
            n_other_processes=None,
            temperature_c=self.temperature_c(),
            sm_clock_mhz=self._number(ctypes.c_uint32, "get_clock_info", _GFX),
            bus_id=self.bus_id,
        )


def snapshot_amd_gpus() -> tuple[GpuSnapshot, ...]:
    """Return a snapshot of every AMD GPU; () if there is no library or no driver."""
    try:
        return tuple(gpu.snapshot() for gpu in find_amd_gpus())
    except GpuError:
        return ()


def amd_versions() -> tuple[str | None, str | None]:
    """Return the version of the driver, or of the kernel if it is part of it, and of the library.

    Both are None if the library or the driver cannot be used.
    """
    library = amd_library.version()
    if library is None:
        return None, None
    try:
        return (_MODULE / "version").read_text().strip(), library
    except OSError:
        return f"Linux {os.uname().release}", library


def find_amd_gpus() -> list[AmdGpu]:
    """Return every GPU.

    Raises:
        GpuError: the library or the driver cannot be used, or a GPU does not respond.
    """
    return [AmdGpu(index, handle) for index, handle in enumerate(amd_library.processors())]
