"""How much memory an experiment will need, told from its architecture before anything is loaded.

Weights and cache are exact for the families of `_architecture`; what lies beside them while a batch
is answered is an estimate. The library's own memory, such as a CUDA context, is not in it.
"""

from __future__ import annotations

import msgspec

from llem_config import ExperimentConfig, PyTorchConfig
from llem_energy._model_info.architecture import (
    Architecture,
    architecture_of,
    read_config,
    stored_weights,
)
from llem_energy._prompts.synthetic import SYNTHETIC, longest_synthetic


def gigabytes(n_bytes: int) -> str:
    """Return a size as a person reads it; 1 GB is 10**9 bytes."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.3g} {name}"
    return f"{n_bytes / 1e3:.3g} kB"


def describe(estimate: MemoryEstimate) -> str:
    """Return an estimate with its parts."""
    return (
        f"{gigabytes(estimate.total_bytes)} (weights {gigabytes(estimate.weights_bytes)}, "
        f"cache {gigabytes(estimate.cache_bytes)}, "
        f"activations {gigabytes(estimate.activations_bytes)})"
    )


_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}
_METHOD = "weights and cache from the architecture, activations of the longest batch's prefill"
# bitsandbytes: 4 bits a weight, and for each 64 of them one scale in fp32, or in 8 bits and a
# second scale for 256 of those; 8 bits a weight, and one scale a row.
_PACKED_4BIT, _PACKED_4BIT_TWICE, _PACKED_8BIT = 0.5 + 4 / 64, 0.5 + 1 / 64 + 4 / 64 / 256, 1.0


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes on the device that the model is on, all devices together where it is spread."""

    weights_bytes: int
    cache_bytes: int
    """Keys and values of the longest batch, when they are most."""
    activations_bytes: int
    total_bytes: int
    method: str


def estimate_memory(config: ExperimentConfig) -> MemoryEstimate | None:
    """Return what an experiment will need; None where its architecture is unknown or not here."""
    own = config.pytorch or PyTorchConfig()
    data = read_config(config.model, own.revision)
    sizes = architecture_of(data) if data is not None else None
    if data is None or sizes is None:
        return None
    weights = _weights(config, own, sizes, packed="quantization_config" in data)
    if weights is None:
        return None
    cache, activations = _cache(config, own, sizes), _activations(config, own, sizes)
    if own.assistant_model:
        drafter = {"model": own.assistant_model, "pytorch": None, "lora": None}
        small = estimate_memory(config.model_copy(update=drafter))
        if small is None:
            return None
        weights, cache = weights + small.weights_bytes, cache + small.cache_bytes
    return MemoryEstimate(
        weights_bytes=weights,
        cache_bytes=cache,
        activations_bytes=activations,
        total_bytes=weights + cache + activations,
        method=_METHOD,
    )


def _weights(
    config: ExperimentConfig, own: PyTorchConfig, sizes: Architecture, *, packed: bool
) -> int | None:
    one = _BYTES[config.precision]
    linear, other = sizes.n_linear_weights, sizes.n_other_weights
    if packed or linear is None or other is None:
        stored = stored_weights(config.model, own.revision)
        if stored is None:
            return None
        n_weights, n_bytes = stored
        return n_bytes if packed else n_weights * one
    return round(linear * _linear_bytes(own, one)) + other * one


def _linear_bytes(own: PyTorchConfig, plain: int) -> float:
    if own.load_in_4bit:
        return _PACKED_4BIT_TWICE if own.bnb_4bit_use_double_quant else _PACKED_4BIT
    return _PACKED_8BIT if own.load_in_8bit else plain


def _rows(config: ExperimentConfig, own: PyTorchConfig) -> int:
    return min(own.batch_size or 1, config.n) * (own.num_beams or 1)


def longest_prompt(config: ExperimentConfig) -> int:
    """Return the longest prompt; of text only its limit is known before it is tokenised."""
    is_synthetic = config.dataset.source == SYNTHETIC
    return longest_synthetic(config) if is_synthetic else config.max_input_tokens


def _cache(config: ExperimentConfig, own: PyTorchConfig, sizes: Architecture) -> int:
    if own.use_cache is False:
        return 0
    n_read, per_layer = longest_prompt(config), sizes.windows
    n_tokens = n_read + config.max_output_tokens - 1  # the last is chosen, but never fed back
    held = sum(n_tokens if window is None else min(n_tokens, window) for window in per_layer)
    if own.cache_implementation not in ("static", "offloaded_static"):
        # Until the first step a layer holds all of the prompt, however short its window is.
        held = max(held, n_read * len(per_layer))
    per_token = 2 * sizes.n_key_value_heads * sizes.head_dim * _BYTES[config.precision]
    return _rows(config, own) * per_token * held


def _activations(config: ExperimentConfig, own: PyTorchConfig, sizes: Architecture) -> int:
    """Return the most that is alive at once while the prompts are read, besides what is kept."""
    one, rows, length = _BYTES[config.precision], _rows(config, own), longest_prompt(config)
    tokens = rows * length
    heads, key_values = sizes.n_heads * sizes.head_dim, sizes.n_key_value_heads * sizes.head_dim
    # Queries, their rotated copy and the mix; keys and values twice as well.
    attention = tokens * (3 * heads + 4 * key_values) * one
    if own.attn_implementation == "eager":
        # All scores at once, before and after the softmax in fp32: 4 and 4 bytes, or 2, 4 and 2.
        # And the mask, of which there is one for all heads.
        attention += rows * length**2 * (sizes.n_heads * 8 + one)
    feed_forward = 3 * tokens * sizes.width * one
    # Each expert's share of the stream, picked out and put back.
    feed_forward += 2 * tokens * sizes.n_experts_met * sizes.hidden * one
    # For the last position only, once more in fp32.
    scores = rows * sizes.vocabulary * (one + 4)
    # The stream itself, its norm, and the norm's fp32 copy.
    stream = tokens * sizes.hidden * (2 * one + 4)
    return stream + max(attention, feed_forward, scores)
