"""What the facts of a backend add to a result; facts that fail do not lose the measurement."""

from __future__ import annotations

import msgspec

from llem_config import ExperimentConfig
from llem_energy._backends.memory import estimate_memory
from llem_energy._backends.registry import facts_of
from llem_energy._errors import BackendError
from llem_energy._model_info.context_length import context_length_problem
from llem_energy._model_info.memory_estimate import MemoryEstimate


class FactsOfResult(msgspec.Struct, frozen=True):
    """The part of a result that comes from the facts of its backend."""

    memory_estimate: MemoryEstimate | None
    warnings: tuple[str, ...]
    """Those of the backend, that a sequence was too long, and why facts could not be used."""


def facts_of_result(config: ExperimentConfig, longest_tokens: int) -> FactsOfResult:
    """Return what the facts say about an experiment that was measured.

    Args:
        config: the experiment.
        longest_tokens: of the longest prompt with its output.
    """
    facts, config = facts_of(config.backend), config.with_full_paths()
    estimate: MemoryEstimate | None = None
    warnings: list[str] = []
    try:
        estimate = estimate_memory(config)
    except BackendError as error:
        warnings.append(str(error))
    try:
        if too_long := context_length_problem(facts.models(config)[0], longest_tokens):
            warnings.append(f"{too_long}: their cost is measured, but their text is poor")
    except BackendError as error:
        warnings.append(str(error))
    try:
        warnings += facts.warnings(config)
    except BackendError as error:
        warnings.append(str(error))
    return FactsOfResult(estimate, tuple(dict.fromkeys(warnings)))
