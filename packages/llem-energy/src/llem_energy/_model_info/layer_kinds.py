"""The kinds of layers in a model, read from whatever key its config.json states them with.

A layer with attention to all positions, or to a window of them, has keys and values in its cache. A
recurrent layer has a state of fixed size instead. Source: the configurations of transformers 5.23.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_FULL = ("full_attention", "attention", "global")
_WINDOWED = ("sliding_attention", "sliding_window", "local")
_CHUNKED = ("chunked_attention",)
_LINEAR = ("linear_attention",)
_NO_CACHE = ("mlp", "moe")
_LISTS = ("layer_types", "layers_block_type")
_STATE_SIZES = (
    "linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim",
    "linear_value_head_dim", "linear_conv_kernel_dim",
)  # fmt: skip
_RECURRENT_KEYS = re.compile(
    r".*(mamba|ssm|recurrent|lru_|state_size|conv_L_cache|kda_|attn_layer_|block_type|hybrid).*"
    r"|linear_(num|key|value|conv)_.*|full_attention_interval"
)


class RecurrentState(msgspec.Struct, frozen=True):
    """The state of one recurrent layer for one sequence."""

    n_values: int
    """In the precision of the model: the last inputs of its convolution."""
    n_fp32_values: int
    """Always in fp32: the matrix that replaces keys and values."""


class LayerKinds(msgspec.Struct, frozen=True):
    """The layers that have a cache."""

    windows: tuple[int | None, ...]
    """Of each attention layer: the max number of positions it attends to; None: all."""
    n_recurrent: int = 0
    state: RecurrentState | None = None
    """Of each recurrent layer; None if there are none."""


def layer_kinds(data: Mapping[str, Any], window: int | None, n_layers: int) -> LayerKinds | None:
    """Return the layers that config.json states; None if it states kinds that are unknown here.

    Call it only if `states_kinds`.

    Args:
        data: a config.json.
        window: of the layers with a sliding window; None: there is no window.
        n_layers: of the model.

    Raises:
        KeyError, TypeError, ValueError: a size is missing or no number.
    """
    names = _names(data, n_layers)
    if names is None or len(names) != n_layers:
        return None
    windows: list[int | None] = []
    n_recurrent = 0
    for name in names:
        if name in _FULL:
            windows.append(None)
        elif name in _WINDOWED:
            windows.append(window)
        elif name in _CHUNKED:
            windows.append(int(data["attention_chunk_size"]))
        elif name in _LINEAR:
            n_recurrent += 1
        elif name not in _NO_CACHE:
            return None
    state = _state(data) if n_recurrent else None
    if n_recurrent and state is None:
        return None
    return LayerKinds(tuple(windows), n_recurrent, state)


def states_kinds(data: Mapping[str, Any]) -> bool:
    """Return whether a config.json has keys of layers that differ from each other."""
    return any(data.get(name) for name in _LISTS) or any(
        _RECURRENT_KEYS.fullmatch(name) and value is not None for name, value in data.items()
    )


def _names(data: Mapping[str, Any], n_layers: int) -> Sequence[str] | None:
    """Return the kind of each layer; None if no known key states it."""
    for name in _LISTS:
        kinds = data.get(name)
        if isinstance(kinds, list) and kinds:
            return [str(kind) for kind in kinds]
    interval = data.get("full_attention_interval")
    if isinstance(interval, int) and interval > 0:
        return [
            "linear_attention" if (i + 1) % interval else "full_attention" for i in range(n_layers)
        ]
    return None


def _state(data: Mapping[str, Any]) -> RecurrentState | None:
    """Return the state of a layer with gated linear attention; None for other recurrent layers."""
    try:
        n_keys, n_values, key_dim, value_dim, n_kept = (int(data[name]) for name in _STATE_SIZES)
    except (KeyError, TypeError, ValueError):
        return None
    width = 2 * n_keys * key_dim + n_values * value_dim
    return RecurrentState(n_values=n_kept * width, n_fp32_values=n_values * key_dim * value_dim)
