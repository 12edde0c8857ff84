"""Temperature, power and processes of GPUs between measurements."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

import msgspec

from llem_energy._errors import GpuError
from llem_energy._sources.nvml_gpu import Gpu, driver


class GpuState(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU at one instant. None: not reported."""

    temperature_c: float | None
    """Temperature in °C; None: not reported."""
    power_w: float | None
    """Of the board, averaged by the driver."""
    pids: tuple[int, ...] | None
    """Every process on it. Inside a container these may be process ids of the host."""


def gpu_states(uuids: Sequence[str]) -> dict[str, GpuState]:
    """Return the state of GPUs by UUID; GPUs that do not respond are left out.

    The driver takes milliseconds, so do not call this inside a measured window.
    """
    states: dict[str, GpuState] = {}
    with contextlib.suppress(GpuError), driver():
        for uuid in uuids:
            with contextlib.suppress(GpuError):
                gpu = Gpu(uuid)
                sample = gpu.sample(time.perf_counter, details=False)
                power_w = sample.power_average_w
                states[uuid] = GpuState(
                    temperature_c=gpu.temperature_c(),
                    power_w=sample.power_w if power_w is None else power_w,
                    pids=gpu.other_pids(()),
                )
    return states
