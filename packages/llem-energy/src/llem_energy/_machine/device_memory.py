"""The memory that a model can use on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from llem_energy._host.control_groups import group_limit_bytes
from llem_energy._machine.environment import installed_memory_bytes


def device_memory_bytes(
    device: Literal["auto", "gpu", "cpu"] | None,
    *,
    is_spread: bool | None,
    gpus_bytes: Sequence[int],
    host_bytes: int | None,
) -> int | None:
    """Return the memory in bytes that a model on this device can use; None if unknown.

    Args:
        device: where the model runs; None is unknown.
        is_spread: over all GPUs, so that their memory adds up; None is unknown and counts as
            spread. Otherwise the largest GPU counts, because only the inference library knows
            which GPU it will take.
        gpus_bytes: memory of each GPU that the model may use.
        host_bytes: as `host_memory_bytes` returns it.
    """
    match device:
        case None:
            return None
        case "cpu":
            return host_bytes
        case "auto" if not gpus_bytes:
            return host_bytes
    if not gpus_bytes:
        return None
    return max(gpus_bytes) if is_spread is False else sum(gpus_bytes)


def host_memory_bytes() -> int | None:
    """Return the memory of this machine, or the limit of this process's groups if it is lower."""
    sizes = [installed_memory_bytes(), group_limit_bytes()]
    return min((size for size in sizes if size is not None), default=None)
