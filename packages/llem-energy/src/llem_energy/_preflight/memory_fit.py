"""Whether experiments fit the memory of their device, told before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llem_config import ExperimentConfig
from llem_energy._machine.device_memory import Capacity, _is_spread
from llem_energy._model_info.memory_estimate import (
    MemoryEstimate,
    describe,
    estimate_memory,
    gigabytes,
)


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
