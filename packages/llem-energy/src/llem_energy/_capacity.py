"""Whether experiments fit the memory of their device, told before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from llem_config import ExperimentConfig, PyTorchConfig
from llem_energy._environment import installed_memory_bytes
from llem_energy._memory import MemoryEstimate, estimate_memory
from llem_energy._nvml import snapshot_gpus

_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_obstacles(
    experiments: Sequence[ExperimentConfig], gpus: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return what cannot fit, and what may not.

    Only weights that are larger than the device are sure not to fit; the rest is an estimate.

    Args:
        experiments: what is to run.
        gpus: UUIDs of the GPUs that it may use; without any it runs on the CPU.
    """
    capacity = Capacity(gpus)
    impossible, doubtful = [], []
    for config, estimate, size_bytes in _compared(experiments, capacity):
        if estimate.weights_bytes > size_bytes and not _is_spread(config):
            impossible.append(
                f"{config.model} in {config.precision} needs {gigabytes(estimate.weights_bytes)} "
                f"for its weights alone, the device has {gigabytes(size_bytes)}"
            )
        elif estimate.total_bytes > size_bytes:
            doubtful.append((estimate, size_bytes))
    return list(dict.fromkeys(impossible)), _warning(doubtful, len(experiments))


def _compared(
    experiments: Sequence[ExperimentConfig], capacity: Capacity
) -> Iterator[tuple[ExperimentConfig, MemoryEstimate, int]]:
    for config in experiments:
        size_bytes, estimate = capacity.of(config), estimate_memory(config)
        if size_bytes is not None and estimate is not None:
            yield config, estimate, size_bytes


def _warning(doubtful: Sequence[tuple[MemoryEstimate, int]], n_points: int) -> list[str]:
    if not doubtful:
        return []
    worst, size_bytes = max(doubtful, key=lambda pair: pair[0].total_bytes - pair[1])
    return [
        f"{len(doubtful)} of {n_points} points may not fit into memory: estimated are up to "
        f"{describe(worst)}, the device has {gigabytes(size_bytes)}"
    ]


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


def gigabytes(n_bytes: int) -> str:
    """Return a size as a person reads it; 1 GB is 10**9 bytes."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.3g} {name}"
    return f"{n_bytes / 1e3:.3g} kB"


def describe(estimate: MemoryEstimate) -> str:
    """Return an estimate with its parts."""
    return (
        f"{gigabytes(estimate.total_bytes)} (weights {gigabytes(estimate.weights_bytes)}, "
        f"cache {gigabytes(estimate.cache_bytes)}, "
        f"activations {gigabytes(estimate.activations_bytes)})"
    )
