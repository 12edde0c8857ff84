"""Whether sequences stay within a model's context length, which its config.json states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llem_energy._model_info.architecture import read_config
from llem_energy._model_info.model_ref import ModelRef

_FIELDS = ("max_position_embeddings", "n_positions")
_ROPE_FIELDS = ("rope_parameters", "rope_scaling")  # of transformers 5 and 4


def context_length(model: ModelRef) -> int | None:
    """Return the context length of a model in tokens; None if its config.json does not state it."""
    data = read_config(model) or {}
    nested = data.get("text_config")
    n_tokens = _stated_length(nested) if isinstance(nested, dict) else None
    return n_tokens or _stated_length(data)


def _stated_length(data: Mapping[str, Any]) -> int | None:
    for field in _FIELDS:
        n_tokens = data.get(field)
        if isinstance(n_tokens, int) and n_tokens > 0:
            return max(n_tokens, *(_rope_length(data.get(name)) for name in _ROPE_FIELDS))
    return None


def _rope_length(rope: Any) -> int:
    """Return the context length after rotary embeddings are scaled; 0 if they are not scaled."""
    if not isinstance(rope, dict):
        return 0
    factor, original = rope.get("factor"), rope.get("original_max_position_embeddings")
    if not isinstance(factor, int | float) or not isinstance(original, int):
        return 0
    return round(factor * original)


def exceeds(n_context: int | None, n_tokens: int) -> bool:
    """Return whether a sequence is longer than a context length; False if that is unknown.

    Args:
        n_context: the context length in tokens.
        n_tokens: of prompt and output together; the last output token takes no position.
    """
    return n_context is not None and n_tokens - 1 > n_context


def context_length_problem(model: ModelRef, n_tokens: int) -> str | None:
    """Return the start of a sentence if sequences exceed the context length, else None.

    Args:
        model: whose context length counts.
        n_tokens: as in `exceeds`.
    """
    n_context = context_length(model)
    if not exceeds(n_context, n_tokens):
        return None
    return (
        f"sequences of up to {n_tokens} tokens exceed the context length of {model.name} "
        f"({n_context} tokens)"
    )
