"""Checks whether sequences stay within a model's context length."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import ExperimentConfig
from llem_energy._backends.registry import facts_of
from llem_energy._model_info.context_length import context_length_problem
from llem_energy._model_info.memory_estimate import longest_prompt
from llem_energy._model_info.model_ref import ModelRef


def context_length_warnings(experiments: Sequence[ExperimentConfig]) -> list[str]:
    """Return one sentence for each model whose context length the experiments may exceed."""
    max_tokens: dict[ModelRef, int] = {}
    for config in experiments:
        model = facts_of(config.backend).models(config)[0]
        n_tokens = longest_prompt(config) + config.max_output_tokens
        max_tokens[model] = max(n_tokens, max_tokens.get(model, 0))
    problems = [context_length_problem(model, n_tokens) for model, n_tokens in max_tokens.items()]
    return [
        f"with prompts of maximum length, {problem}: the output will be poor, and models with "
        "learned position embeddings will fail; lower max_input_tokens or max_output_tokens"
        for problem in problems
        if problem
    ]
