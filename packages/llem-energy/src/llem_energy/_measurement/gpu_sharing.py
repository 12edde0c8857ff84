"""Processes of others on the GPUs: at the start of a run, and again after its windows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from llem_energy._machine.snapshot import EnvironmentSnapshot


class GpuSharing(msgspec.Struct, frozen=True):
    """How many processes of others were on one GPU."""

    n_at_start: int
    n_newcomers: int
    """On it after the windows, and not at the start."""


def gpu_sharing(
    at_start: Mapping[str, Collection[int]],
    after: Mapping[str, Collection[int]],
    own_pids: Collection[int],
) -> dict[str, GpuSharing]:
    """Return the processes of others on each GPU, by its UUID.

    Args:
        at_start: the processes on each GPU when the run began.
        after: the same after its windows.
        own_pids: the processes of the run after its windows. A server that the backend names only
            when the model is loaded was no stranger at the start either.
    """
    own = set(own_pids)
    return {
        uuid: GpuSharing(
            n_at_start=len(set(before) - own),
            n_newcomers=len(set(after.get(uuid, ())) - set(before) - own),
        )
        for uuid, before in at_start.items()
    }


def with_sharing(
    environment: EnvironmentSnapshot, sharing: Mapping[str, GpuSharing]
) -> EnvironmentSnapshot:
    """Return a snapshot with the number of other processes as it is known after the run."""
    gpus = tuple(
        msgspec.structs.replace(gpu, n_other_processes=sharing[gpu.uuid].n_at_start)
        if gpu.uuid in sharing
        else gpu
        for gpu in environment.gpus
    )
    return msgspec.structs.replace(environment, gpus=gpus)
