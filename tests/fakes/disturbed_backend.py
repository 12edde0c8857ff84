"""The scripted backend, beside a neighbour that is on the GPU in the window of some points only.

The neighbour draws power of its own, and is listed by the driver while it is there.
"""

from __future__ import annotations

import ctypes

from benchmarks.report.scripted_backend import ScriptedBackend, ScriptedGpu
from llem_energy.backends import Memory

NEIGHBOUR_PID = 4242
NEIGHBOUR_W = 150.0
DISTURBED_BATCH_SIZE = 16


class _SharedGpu(ScriptedGpu):
    """The queue of a GPU whose power is also that of a neighbour, if there is one."""

    neighbour_w = 0.0

    def run(self, *steps: tuple[float, float]) -> float:
        """Append steps; each takes as long as without the neighbour."""
        extra_w = self.neighbour_w
        return super().run(*((j + j / w * extra_w, w + extra_w) for j, w in steps))

    def invite(self, pid: int, watts: float) -> None:
        """Let the neighbour come, or leave with 0 and 0."""
        self.neighbour_w = watts
        arguments = (0, pid, 0, ctypes.c_uint64(0))
        assert self._driver.fake_nvml_set_neighbour(*arguments)


class DisturbedBackend(ScriptedBackend):
    """The neighbour comes when the window is about to open, and leaves at its end."""

    _gpu: _SharedGpu

    def open(self) -> tuple[str, ...]:
        uuids = super().open()
        idle = self._gpu
        self._gpu = _SharedGpu()
        self._gpu.free_s = idle.free_s
        return uuids

    def reset_peak_memory(self) -> None:
        if self._batch_size == DISTURBED_BATCH_SIZE:
            self._gpu.invite(NEIGHBOUR_PID, NEIGHBOUR_W)

    def memory(self) -> Memory:
        self._gpu.invite(0, 0.0)
        return super().memory()
