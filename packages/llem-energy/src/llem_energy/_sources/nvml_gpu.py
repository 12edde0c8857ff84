"""One NVIDIA GPU through NVML, and its driver.

Only this file, `nvml_fields` and `nvml_clocks` use pynvml and its units.

What a GPU supports is found by calling, never by its architecture. Field ids are the stable ones
(NVML API reference, "Field Value Enums"): 83 total energy, 186 instant and 185 average power, 74
and 75 time throttled by the power limit and by temperature, in nanoseconds, 82 memory temperature.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pynvml

from llem_energy._errors import GpuError
from llem_energy._sources.gpu_snapshot import GpuSnapshot
from llem_energy._sources.nvml_clocks import read_clocks
from llem_energy._sources.nvml_fields import FieldReader, field_value
from llem_energy._sources.protocol import Sample
from llem_energy._sources.throttling import throttle_names

ENERGY_FIELD, _INSTANT_POWER, _AVERAGE_POWER = 83, 186, 185
_POWER_VIOLATION, _THERMAL_VIOLATION, _MEMORY_TEMPERATURE = 74, 75, 82
_MILLI, _NANO = 1e-3, 1e-9
_FIELDS = {
    ENERGY_FIELD: _MILLI, _INSTANT_POWER: _MILLI, _AVERAGE_POWER: _MILLI,
    _POWER_VIOLATION: _NANO, _THERMAL_VIOLATION: _NANO,
}  # fmt: skip
_PROBED_FIELDS = [*_FIELDS, 191]  # 191: energy, in a newer block of field ids
_MODULE_SCOPE = 1  # the GPU with its processor and memory, on boards such as Grace Hopper
_VIRTUALIZATION = {0: "none", 1: "passthrough", 2: "vgpu", 3: "host vgpu", 4: "host vsga"}
_SERVER = b"nvidia-cuda-mps"  # the kernel keeps 15 characters of `nvidia-cuda-mps-server`
_Value = TypeVar("_Value")


@contextlib.contextmanager
def driver() -> Iterator[None]:
    """Keep the driver's library open inside a `with` block; blocks may be nested.

    Raises:
        GpuError: there is no driver, or it does not respond.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise GpuError(f"the NVIDIA driver cannot be used: {error}") from error
    try:
        yield
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _maybe(function: Callable[..., _Value], *arguments: Any) -> _Value | None:
    """Return the result of an NVML call, or None if this GPU or driver does not support it."""
    try:
        return function(*arguments)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError, UnicodeDecodeError):
        return None


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


class Gpu:
    """One GPU, found by index or UUID."""

    def __init__(self, key: int | str) -> None:
        """Find the GPU.

        Raises:
            GpuError: there is no such GPU, or it does not respond.
        """
        try:
            if isinstance(key, int):
                self.handle: Any = pynvml.nvmlDeviceGetHandleByIndex(key)
            else:
                self.handle = pynvml.nvmlDeviceGetHandleByUUID(key)
            self.uuid: str = pynvml.nvmlDeviceGetUUID(self.handle)
            self.index: int = pynvml.nvmlDeviceGetIndex(self.handle)
            self.name = str(pynvml.nvmlDeviceGetName(self.handle))
            self._reader = FieldReader(self.handle, _FIELDS)
        except pynvml.NVMLError as error:
            raise GpuError(f"GPU {key}: {error}") from error

    @property
    def mig(self) -> bool | None:
        """Whether the GPU is split into MIG instances; None if it does not support MIG."""
        mode = _maybe(pynvml.nvmlDeviceGetMigMode, self.handle)
        return None if mode is None else bool(mode[0])

    def compute_capability(self) -> tuple[int, int] | None:
        """Return the version of the GPU's architecture; None if it is not reported."""
        version = _maybe(pynvml.nvmlDeviceGetCudaComputeCapability, self.handle)
        return None if version is None else (int(version[0]), int(version[1]))

    def minor_number(self) -> int | None:
        """Return the number in the name of the device file, as a cluster names the GPU."""
        return _maybe(pynvml.nvmlDeviceGetMinorNumber, self.handle)

    def power_limit_w(self) -> float | None:
        """Return the enforced power limit in watts."""
        return _scaled(_maybe(pynvml.nvmlDeviceGetEnforcedPowerLimit, self.handle), _MILLI)

    def temperature_c(self) -> float | None:
        """Return the temperature of the core in degrees Celsius."""
        core = pynvml.NVML_TEMPERATURE_GPU
        return _maybe(pynvml.nvmlDeviceGetTemperature, self.handle, core)

    def sample(self, clock: Callable[[], float], *, details: bool) -> Sample:
        """Return one reading; a value that cannot be read is None.

        Args:
            clock: gives the time of the reading.
            details: also temperature, clocks, utilisation, memory and processes.
        """
        before = clock()
        stamp_s, energy_j, power_w, average_w, power_s, thermal_s = self._reader.read()
        if energy_j is None:
            energy_mj = _maybe(pynvml.nvmlDeviceGetTotalEnergyConsumption, self.handle)
            energy_j = _scaled(energy_mj, _MILLI)
        if average_w is None and power_w is None:
            average_w = _scaled(_maybe(pynvml.nvmlDeviceGetPowerUsage, self.handle), _MILLI)
        after = clock()
        sample = Sample(
            self.uuid, (before + after) / 2, after - before, stamp_s, energy_j, power_w, average_w,
            power_s, thermal_s,
        )  # fmt: skip
        return self._with_details(sample) if details else sample

    def _with_details(self, sample: Sample) -> Sample:
        handle = self.handle
        rates = _maybe(pynvml.nvmlDeviceGetUtilizationRates, handle)
        memory = _maybe(pynvml.nvmlDeviceGetMemoryInfo, handle)
        sm, mem = pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM
        hbm = _maybe(pynvml.nvmlDeviceGetFieldValues, handle, [_MEMORY_TEMPERATURE])
        return msgspec.structs.replace(
            sample,
            temperature_c=self.temperature_c(),
            memory_temperature_c=None if hbm is None else _field(hbm[0]),
            sm_clock_mhz=_maybe(pynvml.nvmlDeviceGetClockInfo, handle, sm),
            memory_clock_mhz=_maybe(pynvml.nvmlDeviceGetClockInfo, handle, mem),
            utilisation=None if rates is None else rates.gpu / 100,
            memory_used_bytes=None if memory is None else int(memory.used),
            throttle_reasons=self._throttle_reasons(),
            pids=self.pids(),
        )

    def _throttle_reasons(self) -> tuple[str, ...] | None:
        mask = _maybe(pynvml.nvmlDeviceGetCurrentClocksEventReasons, self.handle)
        if mask is None:  # the name before driver 535
            mask = _maybe(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, self.handle)
        return None if mask is None else throttle_names(mask)

    def snapshot(self, own_pids: Collection[int]) -> GpuSnapshot:
        """Return properties, settings and state of the GPU.

        Args:
            own_pids: the processes of the run, which are not counted among the others.
        """
        handle = self.handle
        memory = _maybe(pynvml.nvmlDeviceGetMemoryInfo, handle)
        ecc = _maybe(pynvml.nvmlDeviceGetEccMode, handle)
        persistence = _maybe(pynvml.nvmlDeviceGetPersistenceMode, handle)
        pids = self.pids()
        default_mw = _maybe(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)
        clocks = read_clocks(handle)
        locked, evidence = clocks.lock(self._throttle_reasons())
        return GpuSnapshot(
            index=self.index,
            uuid=self.uuid,
            name=self.name,
            power_limit_w=self.power_limit_w(),
            power_limit_default_w=_scaled(default_mw, _MILLI),
            vbios=_maybe(pynvml.nvmlDeviceGetVbiosVersion, handle),
            memory_bytes=None if memory is None else int(memory.total),
            sm_clock_max_mhz=clocks.sm_max,
            application_sm_clock_mhz=clocks.application_sm,
            persistence_mode=None if persistence is None else bool(persistence),
            ecc=None if ecc is None else bool(ecc[0]),
            mig=self.mig,
            compute_mode=_maybe(pynvml.nvmlDeviceGetComputeMode, handle),
            n_other_processes=None if pids is None else len(pids - {*own_pids}),
            temperature_c=self.temperature_c(),
            virtualization=self.virtualization(),
            sm_clock_mhz=clocks.sm,
            application_sm_clock_default_mhz=clocks.application_sm_default,
            application_memory_clock_mhz=clocks.application_memory,
            application_memory_clock_default_mhz=clocks.application_memory_default,
            clocks_locked=locked,
            clocks_locked_reason=evidence,
            minor_number=self.minor_number(),
        )

    def supported_fields(self) -> tuple[int, ...]:
        """Return the ids of the fields that this GPU supports, among those used here."""
        values = _maybe(pynvml.nvmlDeviceGetFieldValues, self.handle, _PROBED_FIELDS) or ()
        return tuple(sorted(item.fieldId for item in values if _field(item) is not None))

    def has_module_power(self) -> bool:
        """Return whether the instant power of the whole module can be read too."""
        fields = [(_INSTANT_POWER, _MODULE_SCOPE)]
        values = _maybe(pynvml.nvmlDeviceGetFieldValues, self.handle, fields) or ()
        return any(_field(item) is not None for item in values)

    def counter_problem(self) -> str | None:
        """Return why the energy counter cannot be read; None if it can."""
        if ENERGY_FIELD in self.supported_fields():
            return None
        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)
        except pynvml.NVMLError as error:
            return str(error)
        return None

    def virtualization(self) -> str | None:
        """Return how a hypervisor shares the GPU: `none` on bare metal, None if not reported."""
        mode = _maybe(pynvml.nvmlDeviceGetVirtualizationMode, self.handle)
        return None if mode is None else _VIRTUALIZATION.get(mode, str(mode))

    def pids(self) -> frozenset[int] | None:
        """Return the processes on this GPU; None if the driver does not list those that compute.

        Clients of the Multi-Process Service are in a list of their own. Their server works for them
        only, so it is left out if they are listed. Graphics processes draw power too, and some of
        them only compute.
        """
        compute = _maybe(pynvml.nvmlDeviceGetComputeRunningProcesses, self.handle)
        clients = _maybe(pynvml.nvmlDeviceGetMPSComputeRunningProcesses, self.handle)
        graphics = _maybe(pynvml.nvmlDeviceGetGraphicsRunningProcesses, self.handle) or []
        if compute is None:
            return None
        pids = frozenset(process.pid for process in (*compute, *(clients or ()), *graphics))
        return pids if clients is None else frozenset(pid for pid in pids if not _is_server(pid))

    def held_bytes(self) -> int | None:
        """Return the memory that programs hold, without what the driver reserves for itself."""
        version = pynvml.nvmlMemory_v2  # the first version counts the reserved memory as used
        memory = _maybe(pynvml.nvmlDeviceGetMemoryInfo, self.handle, version)
        return None if memory is None else int(memory.used)

    def other_pids(self, own_pids: Collection[int]) -> tuple[int, ...] | None:
        """Return the processes on this GPU without our own; None if the driver does not list them."""
        pids = self.pids()
        return None if pids is None else tuple(sorted(pids - {*own_pids}))


def _is_server(pid: int) -> bool:
    """Return whether a process belongs to the Multi-Process Service itself."""
    try:
        name = Path(f"/proc/{pid}/comm").read_bytes()
    except OSError:  # it has ended, or its id is that of another container
        return False
    return name.startswith(_SERVER)


def _field(item: Any) -> float | None:
    """Return the value of one field, or None; each field has its own return code and type."""
    if item.nvmlReturn != pynvml.NVML_SUCCESS:
        return None
    return field_value(item.valueType, item.value.ullVal)


def find_gpus() -> tuple[list[Gpu], list[str]]:
    """Return the GPUs that respond, and the errors of the others; call it inside `driver()`."""
    responding: list[Gpu] = []
    silent: list[str] = []
    for index in range(_maybe(pynvml.nvmlDeviceGetCount) or 0):
        try:
            responding.append(Gpu(index))
        except GpuError as error:
            silent.append(str(error))
    return responding, silent


def driver_versions() -> tuple[str | None, str | None, str | None]:
    """Return the versions of the driver, of NVML, and of the newest CUDA it supports."""
    try:
        with driver():
            cuda = _maybe(pynvml.nvmlSystemGetCudaDriverVersion)
            return (
                _maybe(pynvml.nvmlSystemGetDriverVersion),
                _maybe(pynvml.nvmlSystemGetNVMLVersion),
                None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            )
    except GpuError:
        return None, None, None
