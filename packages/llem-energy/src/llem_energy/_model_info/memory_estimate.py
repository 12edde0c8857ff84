"""The memory that an experiment needs, estimated from its architecture before anything is loaded.

Weights and cache are exact for the families of `architecture`; the memory for activations is an
estimate. The library's own memory, such as a CUDA context, is not included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from llem_config import ExperimentConfig
from llem_energy._model_info.architecture import (
    Architecture,
    architecture_of,
    quantisation_of,
    read_config,
)
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._model_info.stored_weights import stored_weights
from llem_energy._prompts.synthetic import SYNTHETIC, longest_synthetic

CacheKind = Literal["none", "growing", "preallocated"]

_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}
# Files quantised in another way are unpacked on some devices, so that their size says nothing.
_STAYS_PACKED = ("awq", "bitsandbytes", "gptq")
_METHOD = "weights and cache from the architecture, activations of the longest batch's prefill"


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes on the device that holds the model, summed over devices if the model is spread."""

    weights_bytes: int
    """Weights of the model."""
    cache_bytes: int
    """Keys and values of the longest batch at its last token, and the states of recurrent layers."""
    activations_bytes: int
    """Activations of the longest batch."""
    total_bytes: int
    """Sum of weights, cache and activations."""
    method: str
    """What was estimated, and from what."""


class MemoryLayout(msgspec.Struct, frozen=True, kw_only=True):
    """How a backend holds a model in memory: what an estimate needs besides the architecture."""

    max_batch_prompts: int
    """Prompts that are processed at the same time."""
    sequences_per_prompt: int = 1
    """The number of beams in beam search."""
    bytes_per_matrix_weight: float | None = None
    """Of the layers' matrices if quantised; None: as `precision` says."""
    cache: CacheKind = "growing"
    """`growing` reads the whole prompt into every layer before a sliding window takes effect;
    `preallocated` has its final size from the start."""
    stores_attention_scores: bool = False
    """Whether attention writes the scores of all pairs of tokens to memory."""


def gigabytes(n_bytes: int) -> str:
    """Return a size as text; 1 GB is 10**9 bytes."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.3g} {name}"
    return f"{n_bytes / 1e3:.3g} kB"


def describe(estimate: MemoryEstimate) -> str:
    """Return an estimate with its parts as text."""
    return (
        f"{gigabytes(estimate.total_bytes)} (weights {gigabytes(estimate.weights_bytes)}, "
        f"cache {gigabytes(estimate.cache_bytes)}, "
        f"activations {gigabytes(estimate.activations_bytes)})"
    )


def estimate_from_architecture(
    config: ExperimentConfig, models: Sequence[ModelRef], layout: MemoryLayout
) -> MemoryEstimate | None:
    """Return the memory that the models of an experiment need.

    Args:
        config: for what every backend has: precision, number and length of prompts and outputs.
        models: the main model first; draft models after it, which are not quantised.
        layout: how the backend holds the main model.

    Returns:
        None if an architecture is unknown, or a model is not on this machine.
    """
    draft_layout = msgspec.structs.replace(layout, bytes_per_matrix_weight=None, cache="growing")
    layouts = [layout, *(draft_layout for _ in models[1:])]
    sizes = [_one_model(config, *pair) for pair in zip(models, layouts, strict=True)]
    complete = [size for size in sizes if size is not None]
    if len(complete) < len(sizes):
        return None
    weights_bytes = sum(size.weights_bytes for size in complete)
    cache_bytes = sum(size.cache_bytes for size in complete)
    activations_bytes = complete[0].activations_bytes
    return MemoryEstimate(
        weights_bytes=weights_bytes,
        cache_bytes=cache_bytes,
        activations_bytes=activations_bytes,
        total_bytes=weights_bytes + cache_bytes + activations_bytes,
        method=_METHOD,
    )


class _ModelSize(msgspec.Struct, frozen=True):
    """The memory of one model."""

    weights_bytes: int
    cache_bytes: int
    activations_bytes: int


def _one_model(
    config: ExperimentConfig, model: ModelRef, layout: MemoryLayout
) -> _ModelSize | None:
    data = read_config(model)
    sizes = architecture_of(data) if data is not None else None
    if data is None or sizes is None:
        return None
    weights_bytes = _weights(config, model, layout, sizes, quantisation_of(data))
    if weights_bytes is None:
        return None
    return _ModelSize(
        weights_bytes=weights_bytes,
        cache_bytes=_cache(config, layout, sizes),
        activations_bytes=_activations(config, layout, sizes),
    )


def _weights(
    config: ExperimentConfig,
    model: ModelRef,
    layout: MemoryLayout,
    sizes: Architecture,
    quantisation: Mapping[str, Any] | None,
) -> int | None:
    if quantisation is not None and config.weights != "random":
        stays_packed = quantisation.get("quant_method") in _STAYS_PACKED
        stored = stored_weights(model) if stays_packed else None
        return None if stored is None else sum(tensor.n_bytes for tensor in stored.values())
    value_bytes = _BYTES[config.precision]
    n_linear, n_other = sizes.n_linear_weights, sizes.n_other_weights
    if n_linear is None or n_other is None:
        stored = stored_weights(model)
        if stored is None:
            return None
        return sum(tensor.n_values for tensor in stored.values()) * value_bytes
    matrix_bytes = layout.bytes_per_matrix_weight or value_bytes
    return round(n_linear * matrix_bytes) + n_other * value_bytes


def _n_sequences(config: ExperimentConfig, layout: MemoryLayout) -> int:
    return min(layout.max_batch_prompts, config.n) * layout.sequences_per_prompt


def longest_prompt(config: ExperimentConfig) -> int:
    """Return the tokens of the longest prompt; for text, the limit `max_input_tokens`."""
    is_synthetic = config.dataset.source == SYNTHETIC
    return longest_synthetic(config) if is_synthetic else config.max_input_tokens


def _cache(config: ExperimentConfig, layout: MemoryLayout, sizes: Architecture) -> int:
    if layout.cache == "none":
        return 0
    n_prompt, windows = longest_prompt(config), sizes.windows
    n_tokens = n_prompt + config.max_output_tokens - 1  # the last token is never read
    n_kept = sum(n_tokens if window is None else min(n_tokens, window) for window in windows)
    if layout.cache == "growing":
        # Until the first step a layer holds the whole prompt, however short its window is.
        n_kept = max(n_kept, n_prompt * len(windows))
    value_bytes = _BYTES[config.precision]
    token_bytes = 2 * sizes.n_key_value_heads * sizes.head_dim * value_bytes
    state, state_bytes = sizes.recurrent_state, 0
    if state is not None:
        one_bytes = state.n_values * value_bytes + state.n_fp32_values * 4
        state_bytes = sizes.n_recurrent_layers * one_bytes
    return _n_sequences(config, layout) * (token_bytes * n_kept + state_bytes)


def _activations(config: ExperimentConfig, layout: MemoryLayout, sizes: Architecture) -> int:
    """Return the peak during prefill, without weights and cache."""
    value_bytes = _BYTES[config.precision]
    n_sequences, length = _n_sequences(config, layout), longest_prompt(config)
    n_tokens = n_sequences * length
    query_width = sizes.n_heads * sizes.head_dim
    key_width = sizes.n_key_value_heads * sizes.head_dim
    # Queries, their rotated copy and the output; keys and values twice as well.
    attention = n_tokens * (3 * query_width + 4 * key_width) * value_bytes
    if layout.stores_attention_scores:
        # All scores at once, before and after the softmax in fp32: 4 and 4 bytes, or 2, 4 and 2.
        # And the mask, which all heads share.
        attention += n_sequences * length**2 * (sizes.n_heads * 8 + value_bytes)
    feed_forward = 3 * n_tokens * sizes.width * value_bytes
    # The hidden states of each expert's tokens, gathered and scattered.
    feed_forward += 2 * n_tokens * sizes.n_experts_per_token * sizes.hidden * value_bytes
    # Logits of the last position only, and a copy in fp32.
    logits = n_sequences * sizes.vocabulary * (value_bytes + 4)
    # The hidden states, their norm, and the norm's fp32 copy.
    hidden = n_tokens * sizes.hidden * (2 * value_bytes + 4)
    return hidden + max(attention, feed_forward, logits)
