"""What the other GPUs of the machine did beside a run: they share its air, its power and its processor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from llem_energy._measurement.gpu_sharing import TenantLists
from llem_energy._result.neighbours import NeighbourGpu
from llem_energy._sources.gpu_tenants import GpuTenants

MAX_CHANGE_W = 50.0
"""More is a change between idle and busy, not the noise of a board that does one thing."""


def neighbour_gpus(lists: TenantLists, own: Collection[str]) -> tuple[NeighbourGpu, ...]:
    """Return the GPUs that a run did not use, in the driver's order.

    Args:
        lists: what the driver showed at three instants of the run.
        own: UUIDs of the GPUs that the run used or metered.
    """
    return tuple(
        _neighbour(uuid, lists.at_start[uuid], lists.before_window.get(uuid), lists.after.get(uuid))
        for uuid in lists.at_start
        if uuid not in own
    )


def _neighbour(
    uuid: str, start: GpuTenants, before_window: GpuTenants | None, end: GpuTenants | None
) -> NeighbourGpu:
    seen = [each for each in (start, before_window, end) if each is not None]
    return NeighbourGpu(
        uuid=uuid,
        power_start_w=start.power_w,
        power_before_window_w=before_window.power_w if before_window else None,
        power_end_w=end.power_w if end else None,
        n_processes=max((len(each.pids) for each in seen if each.pids is not None), default=None),
    )


def neighbour_flags(neighbours: Iterable[NeighbourGpu]) -> Iterator[str]:
    """Yield a reason for each neighbour that began or ended to work during a run."""
    for each in neighbours:
        low_w, high_w = min(each.powers_w, default=0.0), max(each.powers_w, default=0.0)
        if high_w - low_w > MAX_CHANGE_W:
            yield (
                f"the power of the neighbouring GPU {each.uuid} changed between {low_w:.0f} and "
                f"{high_w:.0f} W during the run, which can change the temperature and the clock of this one"
            )
