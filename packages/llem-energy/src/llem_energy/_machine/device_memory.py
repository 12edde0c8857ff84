"""How much memory the devices of this machine have."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from llem_config import ExperimentConfig, PyTorchConfig
from llem_energy._machine.environment import installed_memory_bytes
from llem_energy._sources.nvml_gpu import snapshot_gpus

_LIMIT = Path("/sys/fs/cgroup/memory.max")


def _is_spread(config: ExperimentConfig) -> bool:
    return bool(config.pytorch and config.pytorch.device_map)


class Capacity:
    """The memory of this machine's devices, asked for once."""

    def __init__(self, gpus: Sequence[str]) -> None:
        self._gpus = [
            gpu.memory_bytes
            for gpu in (snapshot_gpus(os.getpid()) if gpus else ())
            if gpu.uuid in gpus and gpu.memory_bytes
        ]
        self._host = _host_bytes()

    def of(self, config: ExperimentConfig) -> int | None:
        """Return the memory of the device that an experiment runs on; None if it is not told.

        Of several GPUs the largest, since only torch knows which one it will take; all of them
        where `device_map` spreads the model.
        """
        device = (config.pytorch or PyTorchConfig()).device or "auto"
        if device == "cpu" or (device == "auto" and not self._gpus):
            return self._host
        return (sum if _is_spread(config) else max)(self._gpus) if self._gpus else None


def _host_bytes() -> int | None:
    """Return the memory of this machine, or what a container has of it."""
    installed = installed_memory_bytes()
    try:
        limit = _LIMIT.read_text("utf-8").strip()
    except OSError:
        return installed
    return min(int(limit), installed or int(limit)) if limit.isdigit() else installed
