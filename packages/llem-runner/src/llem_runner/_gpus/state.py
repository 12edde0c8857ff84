"""The state of a study's GPUs, read between its runs and never during one."""

from __future__ import annotations

from collections.abc import Sequence

from llem_energy.sources import GpuState, gpu_states


class Gpus:
    """GPUs by UUID; without any, the driver is not opened."""

    def __init__(self, uuids: Sequence[str] = ()) -> None:
        self.uuids = tuple(uuids)

    def states(self) -> dict[str, GpuState]:
        """Return their present state, by UUID."""
        return gpu_states(self.uuids) if self.uuids else {}

    def pids(self) -> dict[str, frozenset[int]]:
        """Return the processes on each, by UUID."""
        return {uuid: frozenset(state.pids or ()) for uuid, state in self.states().items()}


def temperatures_of(states: dict[str, GpuState]) -> dict[str, float]:
    """Return the temperatures in C, by UUID; a GPU that does not report one is left out."""
    return {
        uuid: state.temperature_c
        for uuid, state in states.items()
        if state.temperature_c is not None
    }
