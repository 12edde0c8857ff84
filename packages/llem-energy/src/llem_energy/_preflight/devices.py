"""The GPUs that experiments may use."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import ExperimentConfig
from llem_energy._backends.registry import facts_of
from llem_energy._machine.machine import Machine


def gpus_used(experiments: Sequence[ExperimentConfig], machine: Machine) -> tuple[str, ...]:
    """Return the UUIDs of the GPUs that experiments may use; () if all run on the CPU.

    An experiment whose backend does not say where it runs may use every visible GPU.

    Raises:
        BackendError: the facts of a backend cannot be imported.
    """
    if all(facts_of(config.backend).device(config) == "cpu" for config in experiments):
        return ()
    return machine.visible_gpus
