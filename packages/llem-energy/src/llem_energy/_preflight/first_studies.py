"""The studies that a backend proposes to begin with on a machine."""

from __future__ import annotations

from llem_energy._backends.first_study import FirstStudy
from llem_energy._backends.registry import facts_of
from llem_energy._machine.machine import Machine


def first_studies(backend: str, machine: Machine) -> tuple[FirstStudy, ...]:
    """Return the proposals of a backend, the preferred ones first; () if it has none.

    Args:
        backend: its name.
        machine: whose GPUs count.

    Raises:
        BackendError: the facts of the backend cannot be imported.
    """
    return facts_of(backend).first_studies(len(machine.visible_gpus))
