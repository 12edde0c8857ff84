"""Whether the weights in a model's files can be those that its config.json describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llem_config.foreign_files import shown
from llem_energy._model_info.architecture import architecture_of, quantisation_of
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._model_info.stored_weights import StoredTensor, stored_weights

_EMBEDDINGS = (
    "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight",
    "tok_embeddings.weight",
)  # fmt: skip
_MIN_SHARE = 0.98  # older files leave out some small constants


def count_problem(model: ModelRef, data: Mapping[str, Any]) -> str | None:
    """Return why weights must be missing or have another shape, as the end of a sentence.

    Args:
        model: whose files are compared.
        data: its config.json.

    Returns:
        None also if the files are not here, or if their contents cannot be known from config.json.
    """
    if quantisation_of(data) is not None or "text_config" in data:
        return None
    stored = stored_weights(model)
    if stored is None:
        return None
    vocabulary = data.get("vocab_size")
    for name in sorted(stored):
        rows = _n_rows(name, stored[name])
        if rows is not None and isinstance(vocabulary, int) and rows != vocabulary:
            return (
                f"config.json has vocab_size {vocabulary}, but {shown(name)} in its files has {rows} "
                "rows; correct config.json"
            )
    sizes = architecture_of(data)
    if sizes is None or sizes.n_linear_weights is None or sizes.n_other_weights is None:
        return None
    n_described = sizes.n_linear_weights + sizes.n_other_weights
    n_stored = sum(tensor.n_values for tensor in stored.values())
    if n_stored < _MIN_SHARE * n_described:
        return (
            f"config.json describes {n_described:,} weights, but its files have {n_stored:,}; "
            "correct config.json, or download the model again"
        )
    return None


def _n_rows(name: str, tensor: StoredTensor) -> int | None:
    """Return the rows of a table of token embeddings; None for any other tensor."""
    is_table = len(tensor.shape) == 2 and f".{name}".endswith(tuple(f".{n}" for n in _EMBEDDINGS))
    return tensor.shape[0] if is_table else None
