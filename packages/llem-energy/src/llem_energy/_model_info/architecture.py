"""The sizes of an architecture that a memory estimate needs, read from config.json without torch.

Source: the model definitions of transformers 5.23. A test compares every family below with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from llem_config.foreign_files import ForeignFileError
from llem_energy._errors import MeasurementError
from llem_energy._hub import model_folder
from llem_energy._model_info.builtin import builtin_architecture
from llem_energy._model_info.config_file import config_problems, read_config_file
from llem_energy._model_info.layer_kinds import (
    LayerKinds,
    RecurrentState,
    layer_kinds,
    states_kinds,
)
from llem_energy._model_info.model_ref import ModelRef


class _Family(msgspec.Struct, frozen=True):
    """How a `model_type` differs from a plain decoder with a gated feed-forward part."""

    tied: bool = False
    head_dim: int | None = None
    biased: str = ""
    """Those of q, k, v and o that have a bias regardless of the configuration."""
    head_norms: Literal["none", "head", "all"] = "none"
    """Norms of queries and keys: over each head, or over all heads together."""
    n_norms: int = 2
    window: int | None = None
    """The default of `sliding_window`."""
    windowed_if: str = ""
    """The window is used only if this field of the configuration is set."""
    full_every: int = 0
    """Every n-th layer attends to all positions; 0: no layer does."""


FAMILIES = {
    "gemma": _Family(tied=True, head_dim=256),
    "gemma2": _Family(tied=True, head_dim=256, n_norms=4, window=4096, full_every=2),
    "gemma3_text": _Family(
        tied=True, head_dim=256, head_norms="head", n_norms=4, window=4096, full_every=6
    ),
    "granite": _Family(),
    "llama": _Family(),
    "mistral": _Family(window=4096),
    "mixtral": _Family(),
    "olmo2": _Family(head_norms="all"),
    "olmoe": _Family(head_norms="all"),
    "phi3": _Family(),
    "qwen2": _Family(biased="qkv", windowed_if="use_sliding_window"),
    "qwen3": _Family(head_dim=128, head_norms="head", windowed_if="use_sliding_window"),
    "qwen3_moe": _Family(head_norms="head", windowed_if="use_sliding_window"),
    "smollm3": _Family(tied=True, windowed_if="use_sliding_window"),
}
"""The families whose weights are counted exactly, by `model_type`."""


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of a decoder."""

    n_linear_weights: int | None
    """In the matrices of the layers, which quantisation packs; None: unknown."""
    n_other_weights: int | None
    """Embeddings, output layer, norms and biases."""
    hidden: int
    vocabulary: int
    n_heads: int
    n_key_value_heads: int
    head_dim: int
    width: int
    """Of the feed-forward part that one token uses, its experts added up."""
    n_experts_per_token: int
    """0 if the model has no experts."""
    windows: tuple[int | None, ...]
    """For each attention layer, the max number of positions it attends to; None: all."""
    n_recurrent_layers: int = 0
    recurrent_state: RecurrentState | None = None
    """Of each recurrent layer; None if there are none."""


def read_config(model: ModelRef) -> dict[str, Any] | None:
    """Return the config.json of a model; None if it is not on this machine or is damaged."""
    try:
        builtin = builtin_architecture(model.name)
        if builtin is not None:
            return builtin
        folder = model_folder(model.name, model.revision)
        return None if folder is None else read_config_file(folder)
    except (MeasurementError, ForeignFileError):
        return None  # the pre-flight checks report what is wrong


def quantisation_of(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how the weights in the files are quantised, as a config.json states it, or None."""
    nested = data.get("text_config")
    for part in (data, nested if isinstance(nested, dict) else {}):
        for name in ("quantization_config", "compression_config"):
            if isinstance(part.get(name), dict):
                return dict(part[name])
    return None


def architecture_of(data: Mapping[str, Any]) -> Architecture | None:
    """Return the sizes in a config.json.

    None if it lacks a size that every decoder has, if a size is wrong, or if it has layers whose
    cache is unknown.
    """
    if config_problems(data):
        return None
    try:
        return _sizes(data)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None


def _sizes(data: Mapping[str, Any]) -> Architecture | None:
    if data.get("kv_lora_rank"):
        return None  # its cache holds compressed states, not keys and values
    family = FAMILIES.get(data.get("model_type", ""))
    traits = family or _Family()
    hidden, n_heads = int(data["hidden_size"]), int(data["num_attention_heads"])
    width, sparse = _width(data)
    head_dim = int(data.get("head_dim") or traits.head_dim or hidden // n_heads)
    n_kv = int(data.get("num_key_value_heads") or n_heads)
    n_layers, vocabulary = int(data["num_hidden_layers"]), int(data["vocab_size"])
    attention = 2 * hidden * head_dim * (n_heads + n_kv)
    dense = 3 * hidden * int(data["intermediate_size"])
    kinds = _kinds(data, traits, n_layers)
    if kinds is None:
        return None
    tied = data.get("tie_word_embeddings", traits.tied)
    sizes = {"q": n_heads * head_dim, "k": n_kv * head_dim, "v": n_kv * head_dim, "o": hidden}
    biased = "qkvo" if data.get("attention_bias") else traits.biased
    n_small = sum(sizes[name] for name in biased) + traits.n_norms * hidden
    n_small += {"none": 0, "head": 2 * head_dim, "all": sizes["q"] + sizes["k"]}[traits.head_norms]
    if data.get("mlp_bias"):
        n_small += 2 * int(data["intermediate_size"]) + hidden
    feed_forward = [sparse if sparse and _is_sparse(data, i) else dense for i in range(n_layers)]
    return Architecture(
        n_linear_weights=n_layers * attention + sum(feed_forward) if family else None,
        n_other_weights=(
            (1 if tied else 2) * vocabulary * hidden + n_layers * n_small + hidden
            if family
            else None
        ),
        hidden=hidden,
        vocabulary=vocabulary,
        n_heads=n_heads,
        n_key_value_heads=n_kv,
        head_dim=head_dim,
        width=width,
        n_experts_per_token=int(data.get("num_experts_per_tok") or 0) if sparse else 0,
        windows=kinds.windows,
        n_recurrent_layers=kinds.n_recurrent,
        recurrent_state=kinds.state,
    )


def _width(data: Mapping[str, Any]) -> tuple[int, int]:
    """Return the feed-forward width that a token uses, and the weights of one layer's experts."""
    n_experts = data.get("num_local_experts") or data.get("num_experts")
    plain = int(data["intermediate_size"])
    if not n_experts:
        return plain, 0
    expert_width = int(data.get("moe_intermediate_size") or plain)
    hidden = int(data["hidden_size"])
    n_weights = (3 * hidden * expert_width + hidden) * int(n_experts)
    return expert_width * int(data["num_experts_per_tok"]), n_weights


def _is_sparse(data: Mapping[str, Any], layer: int) -> bool:
    step = int(data.get("decoder_sparse_step", 1))
    return layer not in (data.get("mlp_only_layers") or ()) and (layer + 1) % step == 0


def _kinds(data: Mapping[str, Any], family: _Family, n_layers: int) -> LayerKinds | None:
    window = data.get("sliding_window", family.window)
    if family.windowed_if and not data.get(family.windowed_if):
        window = None
    if not isinstance(window, int | None):
        return None
    if states_kinds(data):
        return layer_kinds(data, window, n_layers)
    if "max_window_layers" in data:
        first = data["max_window_layers"]
        return LayerKinds(tuple(window if i >= first else None for i in range(n_layers)))
    every = family.full_every
    return LayerKinds(
        tuple(None if every and (i + 1) % every == 0 else window for i in range(n_layers))
    )
