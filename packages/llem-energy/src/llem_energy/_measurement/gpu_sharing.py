"""Processes of others on the GPUs, from the lists that the driver gives during a run.

Inside a container the driver may list its processes by the ids of the host, so the own process is
not recognised by its id. The difference between two lists does not need ids that match: what is on
a GPU before the run has a context belongs to others, and so does what comes after the run has all of
its contexts. Only what comes between the two can be either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._sources.gpu_tenants import GpuTenants


class GpuSharing(msgspec.Struct, frozen=True):
    """How many processes of others were on one GPU."""

    n_at_start: int
    """On it before the run had a context."""
    n_newcomers: int
    """Seen on it later; they may have ended before the run did."""
    n_unclear: int = 0
    """New since the start, of which at least one belongs to the run. The ids of the driver are not
    those of the run, so it cannot be told which. 0 if there is only one, which is the run's."""
    is_own_hidden: bool = False
    """Whether the driver lists no process of the run, although the run uses the GPU. It may then
    hide other processes too."""
    unexplained_bytes: int | None = None
    """Memory in use before the run had a context, if no process was listed; None: not reported."""

    @property
    def is_shared(self) -> bool:
        """Whether a process of others was on it at any time, or may have been."""
        return bool(self.n_at_start or self.n_newcomers or self.n_unclear)


class TenantLists(NamedTuple):
    """What the driver listed during a run, by the UUID of each GPU."""

    at_start: Mapping[str, GpuTenants]
    """Before the run had a context on a device."""
    before_window: Mapping[str, GpuTenants]
    """When the run had all its contexts."""
    after: Mapping[str, GpuTenants]
    """After the windows."""
    seen: Mapping[str, Collection[int]] = MappingProxyType({})
    """By the sampler, at any time."""


def gpu_sharing(
    lists: TenantLists, *, own_pids: Collection[int], used: Collection[str]
) -> dict[str, GpuSharing]:
    """Return the processes of others on each GPU whose driver lists processes, by its UUID.

    Args:
        lists: what the driver listed.
        own_pids: the processes of the run. A server that the backend names only when the model is
            loaded was no stranger at the start either.
        used: UUIDs of the GPUs on which the run has a context.
    """
    return {
        uuid: _sharing(uuid, lists, tenants.pids, frozenset(own_pids), is_used=uuid in used)
        for uuid, tenants in lists.at_start.items()
        if tenants.pids is not None
    }


def _sharing(
    uuid: str, lists: TenantLists, at_start: frozenset[int], own: frozenset[int], *, is_used: bool
) -> GpuSharing:
    settled = _pids(lists.before_window, uuid)
    last = _pids(lists.after, uuid)
    later = (settled | last | {*lists.seen.get(uuid, ())}) - at_start
    held_bytes = lists.at_start[uuid].held_bytes
    n_at_start = len(at_start - own)
    unexplained_bytes = None if at_start else held_bytes
    is_recognised = bool(own & (at_start | later))
    if is_recognised or not is_used:
        return GpuSharing(n_at_start, len(later - own), unexplained_bytes=unexplained_bytes)
    # What is there when the run has all its contexts may be its own: at least one process is.
    candidates = settled - at_start
    return GpuSharing(
        n_at_start,
        len(later - candidates),
        n_unclear=len(candidates) if len(candidates) > 1 else 0,
        is_own_hidden=not candidates,
        unexplained_bytes=unexplained_bytes,
    )


def _pids(tenants: Mapping[str, GpuTenants], uuid: str) -> frozenset[int]:
    return (tenants[uuid].pids if uuid in tenants else None) or frozenset()


def is_any_shared(sharing: Mapping[str, GpuSharing], gpus: Collection[str]) -> bool:
    """Return whether others were, or may have been, on one of these GPUs; the others do not count."""
    return any(sharing[uuid].is_shared for uuid in gpus if uuid in sharing)


def with_sharing(
    environment: EnvironmentSnapshot, sharing: Mapping[str, GpuSharing]
) -> EnvironmentSnapshot:
    """Return a snapshot with the number of other processes as it is known after the run."""
    gpus = tuple(
        msgspec.structs.replace(gpu, n_other_processes=_n_at_start(sharing[gpu.uuid]))
        if gpu.uuid in sharing
        else gpu
        for gpu in environment.gpus
    )
    return msgspec.structs.replace(environment, gpus=gpus)


def _n_at_start(sharing: GpuSharing) -> int | None:
    """Return the number at the start; None if the driver may have hidden some."""
    is_unknown = sharing.is_own_hidden and not sharing.n_at_start
    return None if is_unknown else sharing.n_at_start
