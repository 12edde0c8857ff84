"""The GPUs of a study, looked at between its runs and never while one is measured."""

from __future__ import annotations

from collections.abc import Sequence

from llem_energy import GpuState, gpu_states


class Gpus:
    """Some GPUs, by UUID; none of them, and the driver is left alone."""

    def __init__(self, uuids: Sequence[str] = ()) -> None:
        self.uuids = tuple(uuids)

    def states(self) -> dict[str, GpuState]:
        """Return how they are now."""
        return gpu_states(self.uuids) if self.uuids else {}

    def temperatures_c(self) -> dict[str, float]:
        """Return how warm they are, of those that tell it."""
        return temperatures_of(self.states())

    def pids(self) -> dict[str, frozenset[int]]:
        """Return which processes are on each."""
        return {uuid: frozenset(state.pids or ()) for uuid, state in self.states().items()}


def temperatures_of(states: dict[str, GpuState]) -> dict[str, float]:
    """Return the temperatures out of some states."""
    return {
        uuid: state.temperature_c
        for uuid, state in states.items()
        if state.temperature_c is not None
    }
