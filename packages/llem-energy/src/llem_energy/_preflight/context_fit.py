"""Whether sequences stay within a model's context length."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import ExperimentConfig
from llem_energy._model_info.context_length import past_positions
from llem_energy._model_info.memory_estimate import longest_prompt


def position_warnings(experiments: Sequence[ExperimentConfig]) -> list[str]:
    """Return a sentence for every model whose positions the points of a study may go past."""
    longest: dict[tuple[str, str | None], ExperimentConfig] = {}
    for config in experiments:
        key = (config.model, config.pytorch.revision if config.pytorch else None)
        if key not in longest or _most(config) > _most(longest[key]):
            longest[key] = config
    found = [past_positions(config, _most(config)) for config in longest.values()]
    return [
        f"if prompts are as long as they may be, {sentence}: their text means little, and a model "
        "that learned its positions fails; lower max_input_tokens or max_output_tokens"
        for sentence in found
        if sentence
    ]


def _most(config: ExperimentConfig) -> int:
    return longest_prompt(config) + config.max_output_tokens
