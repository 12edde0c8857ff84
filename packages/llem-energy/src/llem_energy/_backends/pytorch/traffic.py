"""The sizes of a loaded model that the count of bytes needs, read from its modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from llem_energy._backends.pytorch.flops import decoder_of, expert_counts
from llem_energy._model_info.traffic import Traffic


def traffic_of(model: Any) -> Traffic | None:
    """Return the sizes of a model; None if the count does not cover its architecture."""
    decoder = decoder_of(model)
    if decoder is None:
        return None
    shape = model.config.get_text_config()
    n_experts, n_used = expert_counts(shape)
    experts = list(_experts(model, n_experts))
    output = model.get_output_embeddings()
    value_bytes = torch.empty(0, dtype=model.dtype).element_size()
    widths = sum(_widths(module) for module in model.modules() if module is not output)
    expert_widths = sum(sum(matrix.shape[1:]) for matrix in experts)
    expert_bytes = sum(stored_bytes(matrix) for matrix in experts)
    return Traffic(
        step_bytes=_read_bytes(model, output.weight) - expert_bytes,
        cache_bytes=2 * _key_value_width(shape) * value_bytes,
        windows=decoder.windows,
        activation_bytes=(widths + n_used * expert_widths) * value_bytes,
        expert_bytes=expert_bytes,
        n_experts=n_experts if experts else 0,
        n_experts_per_token=n_used if experts else 0,
    )


def stored_bytes(weight: Any) -> int:
    """Return the bytes of a tensor as it is stored; with the scales if bitsandbytes packed it."""
    state = getattr(weight, "quant_state", None)
    nested = getattr(state, "state2", None)
    scales = [getattr(each, "absmax", None) for each in (state, nested) if each is not None]
    tensors = [weight, *(scale for scale in scales if scale is not None)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _read_bytes(model: Any, output: Any) -> int:
    """Return the bytes of all weights but tables of embeddings that are only looked up."""
    lookups = {
        id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)
    }
    lookups.discard(id(output))  # tied: the table is the output layer as well
    return sum(stored_bytes(weight) for weight in model.parameters() if id(weight) not in lookups)


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


def _key_value_width(shape: Any) -> int:
    n_heads = shape.num_attention_heads
    n_kept = getattr(shape, "num_key_value_heads", None) or n_heads
    return int(n_kept * (getattr(shape, "head_dim", None) or shape.hidden_size // n_heads))
