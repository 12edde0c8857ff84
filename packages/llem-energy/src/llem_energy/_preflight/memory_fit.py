"""Checks whether experiments fit the memory of their device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llem_config import ExperimentConfig
from llem_energy._backends.memory import estimate_memory
from llem_energy._backends.registry import facts_of
from llem_energy._machine.device_memory import Capacity
from llem_energy._model_info.memory_estimate import MemoryEstimate, describe, gigabytes


def memory_obstacles(
    experiments: Sequence[ExperimentConfig], gpus: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return what cannot fit, and what may not fit.

    Only weights that are larger than the device certainly do not fit; the rest is an estimate.

    Args:
        experiments: to be run.
        gpus: UUIDs of the GPUs that they may use; without any they run on the CPU.
    """
    capacity = Capacity(gpus)
    impossible, doubtful = [], []
    for config, estimate, device_bytes in _compared(experiments, capacity):
        is_spread = facts_of(config.backend).spreads_over_gpus(config)
        if estimate.weights_bytes > device_bytes and is_spread is False:
            impossible.append(
                f"{config.model} in {config.precision} needs {gigabytes(estimate.weights_bytes)} "
                f"for its weights alone, but the device has {gigabytes(device_bytes)}"
            )
        elif estimate.total_bytes > device_bytes:
            doubtful.append((estimate, device_bytes))
    return list(dict.fromkeys(impossible)), _warning(doubtful, len(experiments))


def _compared(
    experiments: Sequence[ExperimentConfig], capacity: Capacity
) -> Iterator[tuple[ExperimentConfig, MemoryEstimate, int]]:
    for config in experiments:
        facts = facts_of(config.backend)
        is_spread = facts.spreads_over_gpus(config)
        device_bytes = capacity.of(facts.device(config), is_spread=is_spread)
        estimate = estimate_memory(config)
        if device_bytes is not None and estimate is not None:
            yield config, estimate, device_bytes


def _warning(doubtful: Sequence[tuple[MemoryEstimate, int]], n_points: int) -> list[str]:
    if not doubtful:
        return []
    worst, device_bytes = max(doubtful, key=lambda pair: pair[0].total_bytes - pair[1])
    return [
        f"{len(doubtful)} of {n_points} points may not fit into memory: the estimate is up to "
        f"{describe(worst)}, but the device has {gigabytes(device_bytes)}"
    ]
