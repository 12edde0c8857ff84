"""Whether sequences stay within the positions that a model was made for; read from config.json."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import ExperimentConfig
from llem_energy._architecture import read_config

_FIELDS = ("max_position_embeddings", "n_positions")


def n_positions(config: ExperimentConfig) -> int | None:
    """Return how many positions the model of an experiment knows; None where it does not say."""
    data = read_config(config.model, config.pytorch.revision if config.pytorch else None) or {}
    nested = data.get("text_config")
    for part in (nested if isinstance(nested, dict) else {}, data):
        for field in _FIELDS:
            if isinstance(part.get(field), int) and part[field] > 0:
                return int(part[field])
    return None


def past_positions(config: ExperimentConfig, n_tokens: int) -> str | None:
    """Return a sentence about a sequence that is too long for its model, None if it is not.

    Args:
        config: names the model.
        n_tokens: of a prompt and its answer; the last token of an answer takes no position.
    """
    known = n_positions(config)
    if known is None or n_tokens - 1 <= known:
        return None
    return (
        f"sequences of up to {n_tokens} tokens go past the {known} positions that {config.model} "
        "was made for: what they cost is measured, their text means little"
    )


def position_warnings(experiments: Sequence[ExperimentConfig]) -> list[str]:
    """Return a sentence for every model whose positions the points of a study may go past."""
    longest: dict[tuple[str, str | None], ExperimentConfig] = {}
    for config in experiments:
        key = (config.model, config.pytorch.revision if config.pytorch else None)
        if key not in longest or _most(config) > _most(longest[key]):
            longest[key] = config
    found = (past_positions(config, _most(config)) for config in longest.values())
    return [
        f"{sentence}; lower max_input_tokens or max_output_tokens" for sentence in found if sentence
    ]


def _most(config: ExperimentConfig) -> int:
    return config.max_input_tokens + config.max_output_tokens
