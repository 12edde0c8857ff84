"""Whether sequences stay within the positions that a model was made for; read from config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llem_config import ExperimentConfig
from llem_energy._model_info.architecture import read_config

_FIELDS = ("max_position_embeddings", "n_positions")
_STRETCHED = ("rope_parameters", "rope_scaling")  # of transformers 5 and 4


def n_positions(config: ExperimentConfig) -> int | None:
    """Return how many positions the model of an experiment knows; None where it does not say."""
    data = read_config(config.model, config.pytorch.revision if config.pytorch else None) or {}
    nested = data.get("text_config")
    found = _positions(nested) if isinstance(nested, dict) else None
    return found or _positions(data)


def _positions(data: Mapping[str, Any]) -> int | None:
    for field in _FIELDS:
        known = data.get(field)
        if isinstance(known, int) and known > 0:
            return max(known, *(_stretched(data.get(name)) for name in _STRETCHED))
    return None


def _stretched(rope: Any) -> int:
    """Return how far rotary positions reach once they are stretched; 0 where they are not."""
    if not isinstance(rope, dict):
        return 0
    factor, before = rope.get("factor"), rope.get("original_max_position_embeddings")
    if not isinstance(factor, int | float) or not isinstance(before, int):
        return 0
    return round(factor * before)


def past_positions(config: ExperimentConfig, n_tokens: int) -> str | None:
    """Return that sequences go past the positions of their model, None if they do not.

    Args:
        config: names the model.
        n_tokens: of a prompt and its answer; the last token of an answer takes no position.
    """
    known = n_positions(config)
    if known is None or n_tokens - 1 <= known:
        return None
    return (
        f"sequences of up to {n_tokens} tokens go past the {known} positions that {config.model} "
        "was made for"
    )
