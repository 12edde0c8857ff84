"""In what two GPUs of one study differ so that runs on them cannot be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Protocol

SWITCH = {None: None, True: "on", False: "off"}


class GpuKind(Protocol):
    """What a run must have in common with others of its GPU. None: not known."""

    @property
    def name(self) -> str | None:
        """Name of the product."""

    @property
    def power_limit_w(self) -> float | None:
        """Power limit."""

    @property
    def power_limit_default_w(self) -> float | None:
        """Power limit without a setting of the user."""

    @property
    def mig(self) -> bool | None:
        """Whether the GPU is divided into instances."""


def properties_of(gpu: GpuKind) -> dict[str, str | None]:
    """Return what a GPU has in common with others of its kind, in words."""
    return {
        "GPU": gpu.name,
        "power limit": watts(gpu.power_limit_w),
        "default power limit": watts(gpu.power_limit_default_w),
        "MIG": SWITCH[gpu.mig],
    }


def watts(power_w: float | None) -> str | None:
    """Return a power in words."""
    return None if power_w is None else f"{power_w:.0f} W"


def gpu_changes(then: Collection[GpuKind], here: Collection[GpuKind]) -> list[str]:
    """Return in what the GPUs of new runs differ from those of a study; none if one of them does not.

    Args:
        then: the GPU of each run of the study.
        here: the GPUs that new runs may use.
    """
    usual = [
        dict(items)
        for items, _ in Counter(tuple(properties_of(gpu).items()) for gpu in then).most_common()
    ]
    changes = [
        [
            f"{name} {old} -> {gpu[name]}"
            for name, old in each.items()
            if None not in (old, gpu[name]) and old != gpu[name]
        ]
        for gpu in map(properties_of, here)
        for each in usual
    ]
    return min(changes, key=len, default=[])
