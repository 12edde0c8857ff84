"""Checks whether sequences stay within a model's context length."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import ExperimentConfig
from llem_energy._backends.registry import facts_of
from llem_energy._model_info.context_length import context_length, context_length_problem, exceeds
from llem_energy._model_info.memory_estimate import longest_prompt
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._preflight.findings import Finding, findings


def context_tokens(config: ExperimentConfig) -> int | None:
    """Return the context length of an experiment's model in tokens; None if it is not stated."""
    return context_length(facts_of(config.backend).models(config)[0])


def context_length_warnings(experiments: Sequence[ExperimentConfig]) -> tuple[Finding, ...]:
    """Return one finding for each model whose context length the experiments may exceed."""
    lengths: dict[ModelRef, dict[int, int]] = {}
    for i, config in enumerate(experiments):
        model = facts_of(config.backend).models(config)[0]
        n_tokens = longest_prompt(config) + config.max_output_tokens
        lengths.setdefault(model, {})[i] = n_tokens
    warnings = {}
    for model, points in lengths.items():
        problem = context_length_problem(model, max(points.values()))
        if problem is None:
            continue
        message = (
            f"with prompts of maximum length, {problem}: the output will be poor, and models with "
            "learned position embeddings will fail; lower max_input_tokens or max_output_tokens"
        )
        n_context = context_length(model)
        warnings[message] = [i for i, n_tokens in points.items() if exceeds(n_context, n_tokens)]
    return findings(warnings)
