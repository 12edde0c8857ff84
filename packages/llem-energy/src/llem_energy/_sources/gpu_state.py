"""How GPUs are between measurements: how warm, at which power, and who is on them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

import msgspec

from llem_energy._errors import GpuError
from llem_energy._sources.nvml_gpu import Gpu, driver

_NOBODY = 0  # no process of ours is left out of the list


class GpuState(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU at one instant; what it does not tell is None."""

    temperature_c: float | None
    power_w: float | None
    """Of the board, as the driver averages it."""
    pids: tuple[int, ...] | None
    """Every process on it. From inside a container these may be numbers of the host."""


def gpu_states(uuids: Sequence[str]) -> dict[str, GpuState]:
    """Return how GPUs are now, by UUID; those that do not answer are left out.

    It takes milliseconds of the driver, so it does not belong inside a measured window.
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
                    pids=gpu.other_pids(_NOBODY),
                )
    return states
