"""The operations of an answer as torch counts them, the same for every version of the libraries."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

_FUSED_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def count_operations(backend: Any, batch: Any, n_positions: int) -> int:
    """Return the operations of the answer to a batch of one prompt, as torch counts them.

    Args:
        backend: loaded.
        batch: one prompt.
        n_positions: of the prompt and the answer that go through the model.
    """
    with FlopCounterMode(display=False, custom_mapping={_FUSED_ON_CPU: _attention}) as counter:
        backend.generate(batch)
    n_operations: int = counter.get_total_flops()
    return n_operations - n_positions * _rotary_products(backend._model)


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Count the fused kernel for CPUs, which older versions of torch omit.

    The shapes are (batch, heads, positions, width); several query heads may share one of the keys.
    """
    n_prompts, n_heads, n_queries, width = query
    return 2 * int(n_prompts * n_heads * n_queries * key[2] * (width + value[3]))


def _rotary_products(model: torch.nn.Module) -> int:
    """Return the operations per position that only some versions of transformers need.

    They multiply the frequencies of rotary embeddings and the positions as matrices with an inner
    dimension of 1. That is some millionths of an answer, which llem does not count.
    """
    n_operations = 0
    for layer in [module for module in model.modules() if hasattr(module, "inv_freq")]:
        with FlopCounterMode(display=False) as counter:
            layer(torch.zeros(1, 1, 1), torch.zeros(1, 1, dtype=torch.long))
        n_operations += counter.get_total_flops()
    return n_operations
