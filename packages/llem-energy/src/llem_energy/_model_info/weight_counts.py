"""Whether the weights in a model's files can be those that its config.json describes."""

from __future__ import annotations

import re
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
_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|blocks|block|h)\.(\d+)\.")
_LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
MAX_UNUSED_SHARE = 0.1
"""Of the weights in the files; a larger share refuses the run. Some models have a layer more than
config.json says on purpose, which guesses further tokens; it is 2 to 5 % of their weights."""
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
    if problem := _unused_layers(stored, data):
        return problem
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


def _unused_layers(stored: Mapping[str, StoredTensor], data: Mapping[str, Any]) -> str | None:
    """Return what is wrong if many weights lie in layers that config.json leaves out."""
    counts = (data.get(key) for key in _LAYER_COUNTS)
    n_layers = next((n for n in counts if isinstance(n, int) and n > 0), None)
    if n_layers is None:
        return None
    unused = {
        name: tensor.n_values
        for name, tensor in stored.items()
        if (match := _LAYER.search(name)) and int(match[1]) >= n_layers
    }
    n_stored = sum(tensor.n_values for tensor in stored.values())
    n_unused = sum(unused.values())
    if n_unused < MAX_UNUSED_SHARE * n_stored or not n_unused:
        return None
    return (
        f"config.json has {n_layers} {'layer' if n_layers == 1 else 'layers'}, so {n_unused:,} of "
        f"{n_stored:,} weights ({n_unused / n_stored:.1%}) in its files are not used, e.g. {shown(min(unused))}; correct "
        "config.json"
    )


def _n_rows(name: str, tensor: StoredTensor) -> int | None:
    """Return the rows of a table of token embeddings; None for any other tensor."""
    is_table = len(tensor.shape) == 2 and f".{name}".endswith(tuple(f".{n}" for n in _EMBEDDINGS))
    return tensor.shape[0] if is_table else None
