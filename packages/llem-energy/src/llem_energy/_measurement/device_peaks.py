"""The peaks of the device of a run: those of an earlier run in this boot, or measured now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from llem_energy._backends.protocol import Backend
from llem_energy._backends.roofline import MeasuresPeaks, Peaks
from llem_energy._errors import BackendError, MeasurementError
from llem_energy._host.family import Family
from llem_energy._host.host_load import load_between
from llem_energy._host.host_reading import read_host
from llem_energy._host.load_limits import other_load_problem
from llem_energy._machine.device_memory import host_memory_bytes
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._result.roofline import DevicePeaks

_HOST_BYTES = 2**30  # what a backend may need; see `MeasuresPeaks`

_MEASURED: list[DevicePeaks] = []
"""By this process, which may measure several experiments without a cache."""


class FoundPeaks(NamedTuple):
    """Peaks, or why there are none."""

    found: DevicePeaks | None
    reason: str | None = None


def device_peaks(
    backend: Backend,
    known: Sequence[DevicePeaks],
    environment: EnvironmentSnapshot,
    *,
    on_gpu: bool,
    used_bytes: int | None,
    family: Family,
    is_shared: bool = False,
) -> FoundPeaks:
    """Return the peaks of a backend's device. Call it after all windows: it heats the device.

    Args:
        backend: with its model loaded.
        known: peaks of earlier runs, of any machine; they hold for one boot.
        environment: of the run.
        on_gpu: whether the model is on GPUs.
        used_bytes: peak memory of the run; None if unknown.
        family: the processes of the run.
        is_shared: whether others may use its GPUs.
    """
    if not isinstance(backend, MeasuresPeaks):
        return FoundPeaks(None, "the backend does not measure the peaks of its device")
    driver = environment.driver if on_gpu else None
    try:
        conditions = backend.peak_conditions()
        settings = _settings(environment, conditions.device, on_gpu=on_gpu)
        for each in (*known, *_MEASURED):
            if environment.boot_id is not None and (
                (each.conditions, each.driver, each.boot_id, each.settings)
                == (conditions, driver, environment.boot_id, settings)
            ):
                return FoundPeaks(each)
        if on_gpu and is_shared:
            return FoundPeaks(None, "the peaks were not measured: others may use the GPU")
        if not on_gpu:
            _check_memory(used_bytes)
        peaks = _measured(backend, family, on_gpu=on_gpu)
    except MeasurementError as error:
        return FoundPeaks(None, str(error))
    except Exception as error:  # noqa: BLE001  # of another package; it must not lose the result
        text = " ".join(str(error).split())
        return FoundPeaks(None, f"the peaks were not measured: {type(error).__name__}: {text}")
    found = DevicePeaks(
        conditions=conditions,
        peaks=peaks,
        driver=driver,
        boot_id=environment.boot_id,
        made_at=datetime.now(UTC).isoformat(),
        settings=settings,
    )
    _MEASURED.append(found)
    return FoundPeaks(found)


def _settings(environment: EnvironmentSnapshot, device: str, *, on_gpu: bool) -> str:
    """Return what a user can set between two runs, and what the device can then no longer reach.

    A lock of the clocks is not among it, because the driver does not report one.
    """
    if not on_gpu:
        return f"governor {environment.cpu_governor or 'unknown'}"
    gpu = next((gpu for gpu in environment.gpus if gpu.is_among([device])), None)
    if gpu is None:
        return "unknown"
    values = {
        "power limit": (gpu.power_limit_w, "W"),
        "application clocks": (gpu.application_sm_clock_mhz, "MHz"),
        "and": (gpu.application_memory_clock_mhz, "MHz"),
    }
    return " ".join(
        f"{name} {'unknown' if value is None else f'{value:g} {unit}'}"
        for name, (value, unit) in values.items()
    )


def _check_memory(used_bytes: int | None) -> None:
    """Return if the machine has room: a result must not be lost because of its peaks."""
    host_bytes = host_memory_bytes()
    if host_bytes is None or used_bytes is None:
        return
    if host_bytes - used_bytes < _HOST_BYTES:
        raise BackendError(
            f"the peaks were not measured: the run needed {used_bytes / 1e9:.2g} of "
            f"{host_bytes / 1e9:.2g} GB of memory, and measuring them needs 1 GB"
        )


def _measured(backend: MeasuresPeaks, family: Family, *, on_gpu: bool) -> Peaks:
    before = read_host(family)
    peaks = backend.measure_peaks()
    load = load_between(before, read_host(family))
    if not isinstance(peaks, Peaks):
        raise BackendError(f"the backend returned {peaks!r} where Peaks were expected")
    # Kept for the whole boot, so a peak of a busy machine would be wrong in all later runs.
    if problem := other_load_problem(load, on_gpu=on_gpu):
        raise BackendError(f"the peaks are not known: {problem} while they were measured")
    return peaks
