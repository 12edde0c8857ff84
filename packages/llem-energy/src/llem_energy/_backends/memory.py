"""The memory that an experiment needs, from the facts of its backend and the model's config.json."""

from __future__ import annotations

from llem_config import ExperimentConfig
from llem_energy._backends.registry import facts_of
from llem_energy._model_info.memory_estimate import MemoryEstimate, estimate_from_architecture


def estimate_memory(config: ExperimentConfig) -> MemoryEstimate | None:
    """Return the memory that an experiment is expected to need.

    None if the backend does not say how it holds a model in memory, if the architecture is
    unknown, or if the model is not on this machine.

    Raises:
        BackendError: the facts of the backend cannot be used.
    """
    config = config.with_full_paths()
    facts = facts_of(config.backend)
    match facts.memory(config):
        case None:
            return None
        case MemoryEstimate() as estimate:
            return estimate
        case layout:
            return estimate_from_architecture(config, facts.models(config), layout)
