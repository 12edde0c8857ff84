"""The memory of this machine's devices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from llem_energy._machine.environment import installed_memory_bytes
from llem_energy._sources.nvml_gpu import snapshot_gpus

_LIMIT = Path("/sys/fs/cgroup/memory.max")


class Capacity:
    """The memory of this machine's devices, read once."""

    def __init__(self, gpus: Sequence[str]) -> None:
        self._gpus = [
            gpu.memory_bytes
            for gpu in (snapshot_gpus(os.getpid()) if gpus else ())
            if gpu.uuid in gpus and gpu.memory_bytes
        ]
        self._host = host_memory_bytes()

    def of(
        self, device: Literal["auto", "gpu", "cpu"] | None, *, is_spread: bool | None
    ) -> int | None:
        """Return the memory in bytes that a model on this device can use; None if unknown.

        Args:
            device: where the model runs; None is unknown.
            is_spread: over all GPUs, so that their memory adds up; None is unknown and counts as
                spread. Otherwise the largest GPU counts, because only the inference library knows
                which one it will take.
        """
        if device is None:
            return None
        if device == "cpu" or (device == "auto" and not self._gpus):
            return self._host
        if not self._gpus:
            return None
        return max(self._gpus) if is_spread is False else sum(self._gpus)


def host_memory_bytes() -> int | None:
    """Return the memory of this machine, or the limit of the container if that is lower."""
    installed_bytes = installed_memory_bytes()
    try:
        limit = _LIMIT.read_text("utf-8").strip()
    except OSError:
        return installed_bytes
    if not limit.isdigit():
        return installed_bytes
    return min(int(limit), installed_bytes or int(limit))
