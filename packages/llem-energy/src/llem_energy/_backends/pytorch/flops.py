"""The sizes of a loaded model that the operation count needs, read from its modules.

If a module is unknown, the result is None: no figure is better than an incomplete one.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from llem_energy._backends.pytorch.one_token import OneToken, one_token
from llem_energy._model_info.flops import Decoder

_ATTENTION = ("full_attention", "sliding_attention", "chunked_attention")
_OTHER_ATTENTION = ("diffllama", "doge")
"""Types of models whose attention does more than compare each head's queries with keys."""


def decoder_of(model: Any) -> Decoder | None:
    """Return the sizes of a model; None if the operation count does not cover its architecture."""
    shape = model.config.get_text_config()
    output = model.get_output_embeddings()
    seen = one_token(model)
    if output is None or seen is None or shape.model_type in _OTHER_ATTENTION:
        return None
    weights = _weights_per_token(model, shape, seen)
    width = _attention_width(shape, seen)
    windows = _windows(shape)
    if weights is None or width is None or windows is None or len(windows) != len(seen.layers):
        return None
    return Decoder(
        n_linear_weights=weights,
        n_output_weights=output.weight.numel(),
        attention_width=width,
        windows=windows,
    )


def _weights_per_token(model: Any, shape: Any, seen: OneToken) -> int | None:
    """Count the weights that one token is multiplied with: only those of the experts it uses."""
    total = 0
    for module in model.modules():
        n_times = seen.n_times(module)
        if not n_times:
            continue  # another token does not meet it either, such as an encoder of images
        match module:
            case torch.nn.Linear():  # not the tensor's size, because quantised weights are packed
                total += n_times * module.in_features * module.out_features
            case Conv1D():
                total += n_times * module.weight.numel()
            case torch.nn.Embedding():
                pass  # looked up, not multiplied
            case _:
                n_weights = _other_weights(module, shape)
                if n_weights is None:
                    return None
                total += n_times * n_weights
    return total or None


def _other_weights(module: Any, shape: Any) -> int | None:
    """Count the weights in a module's own matrices: a router or experts."""
    if _is_packed(module):
        return None
    matrices = [
        matrix
        for name, matrix in module.named_parameters(recurse=False)
        if matrix.dim() > 1 and not name.endswith("bias")
    ]
    n_experts, n_used = expert_counts(shape)
    if not matrices:
        return 0
    if not n_experts or not n_used or any(matrix.shape[0] != n_experts for matrix in matrices):
        return None
    n_weights = sum(int(matrix.numel()) for matrix in matrices)
    if all(matrix.dim() == 2 for matrix in matrices):
        return n_weights  # a router: every token is scored for every expert
    # transformers marks experts that process only their own tokens. Others may process all tokens.
    if not hasattr(module, "_apply_gate"):
        return None
    return n_weights * n_used // n_experts


def _is_packed(module: Any) -> bool:
    """Return whether a module may hold quantised weights that are no parameters, as GPTQ and AWQ do."""
    is_leaf = next(module.children(), None) is None
    return is_leaf and any(
        buffer.dim() > 1 and not buffer.is_floating_point() and buffer.dtype != torch.bool
        for buffer in module.buffers(recurse=False)
    )


def expert_counts(shape: Any) -> tuple[int, int]:
    """Return the experts of a layer and those that one token uses; 0 if a model has none."""
    n_experts = getattr(shape, "num_local_experts", None) or getattr(shape, "num_experts", None)
    return int(n_experts or 0), int(getattr(shape, "num_experts_per_tok", None) or 0)


def _attention_width(shape: Any, seen: OneToken) -> int | None:
    widths = {width for layer in seen.layers for width in (layer.key_width, layer.value_width)}
    # With a compressed cache, every step multiplies the whole cache with expanding weights.
    if len(widths) != 1 or getattr(shape, "kv_lora_rank", None):
        return None
    return int(shape.num_attention_heads * widths.pop())


def _windows(shape: Any) -> tuple[int | None, ...] | None:
    """Return for each layer the max number of positions it attends to; None: all of them."""
    window = getattr(shape, "sliding_window", None)
    kinds = getattr(shape, "layer_types", None)
    if kinds is None:
        kinds = ["sliding_attention" if window else "full_attention"] * shape.num_hidden_layers
    if any(kind not in _ATTENTION for kind in kinds):
        return None
    reach = {
        "full_attention": None,
        "sliding_attention": window,
        "chunked_attention": getattr(shape, "attention_chunk_size", None),
    }
    return tuple(reach[kind] for kind in kinds)
