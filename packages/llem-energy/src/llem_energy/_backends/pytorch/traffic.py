"""The sizes of a loaded model that the count of bytes needs, read from its modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from llem_energy._backends.pytorch.flops import decoder_of, expert_counts
from llem_energy._backends.pytorch.one_token import OneToken, one_token
from llem_energy._model_info.traffic import Traffic


def traffic_of(model: Any) -> Traffic | None:
    """Return the sizes of a model; None if the count does not cover its architecture."""
    decoder, seen = decoder_of(model), one_token(model)
    if decoder is None or seen is None:
        return None
    n_experts, n_used = expert_counts(model.config.get_text_config())
    experts = list(_experts(model, n_experts))
    cache_bytes = {layer.n_bytes for layer in seen.layers}
    if len(cache_bytes) != 1 or (n_experts and not experts):
        return None  # layers with caches of different sizes, or experts in modules of their own
    output = model.get_output_embeddings()
    expert_bytes = sum(stored_bytes(matrix) for matrix in experts)
    step_bytes = _read_bytes(model, output.weight, seen) - expert_bytes
    if step_bytes <= 0:
        return None  # the token has not met the experts
    value_bytes = torch.empty(0, dtype=model.dtype).element_size()
    widths = sum(
        seen.n_times(module) * _widths(module) for module in model.modules() if module is not output
    )
    expert_widths = sum(sum(matrix.shape[1:]) for matrix in experts)
    return Traffic(
        step_bytes=step_bytes,
        cache_bytes=cache_bytes.pop(),
        windows=decoder.windows,
        activation_bytes=(widths + n_used * expert_widths) * value_bytes,
        expert_bytes=expert_bytes,
        n_experts=n_experts if experts else 0,
        n_experts_per_token=n_used if experts else 0,
    )


def stored_bytes(weight: Any) -> int:
    """Return the bytes of a tensor as it is stored; with the scales if bitsandbytes packed it.

    A tensor that is made of others, as torchao packs them, has the bytes of these.
    """
    if hasattr(weight, "__tensor_flatten__"):
        names, _ = weight.__tensor_flatten__()
        return sum(stored_bytes(getattr(weight, name)) for name in names)
    state = getattr(weight, "quant_state", None)
    nested = getattr(state, "state2", None)
    scales = [getattr(each, "absmax", None) for each in (state, nested) if each is not None]
    tensors = [weight, *(scale for scale in scales if scale is not None)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _read_bytes(model: Any, output: Any, seen: OneToken) -> int:
    """Return the bytes of all weights that a token meets.

    Tables of embeddings are only looked up, unless one is the output layer as well.
    """
    met = {
        id(weight): weight
        for module in model.modules()
        if seen.n_times(module) and not isinstance(module, torch.nn.Embedding)
        for weight in module.parameters(recurse=False)
    }
    met[id(output)] = output
    return sum(map(stored_bytes, met.values()))


def _experts(model: Any, n_experts: int) -> Iterator[Any]:
    """Yield the matrices that hold all experts of a layer, one behind the other."""
    for module in model.modules():
        for weight in module.parameters(recurse=False):
            if n_experts and weight.dim() == 3 and weight.shape[0] == n_experts:
                yield weight


def _widths(module: Any) -> int:
    """Return inputs plus outputs of a matrix; 0 for a module that is none."""
    if isinstance(module, torch.nn.Linear):
        return int(module.in_features + module.out_features)
    return sum(module.weight.shape) if isinstance(module, Conv1D) else 0
