"""Padding of prompts: a valid id for it, and whether the model ignores it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import transformers

_N_PADDING = 4
_N_TOKENS = 4
# A model that ignores the mask has a share of 1. One that heeds it has 0, apart from rounding.
_MAX_SHARE = 0.5


def valid_pad_id(model: Any, pad_id: Any, end_ids: Sequence[int]) -> int:
    """Return the first of these ids that is in the vocabulary, else 0.

    Published configurations have -1 or ids that were added later. Padding is masked, so that every
    valid id does the same.
    """
    n_tokens = model.get_input_embeddings().weight.shape[0]
    ids = (i for i in (pad_id, *end_ids) if isinstance(i, int) and 0 <= i < n_tokens)
    return next(ids, 0)


def ignores_mask(model: Any, vocabulary: range, device: torch.device) -> bool:
    """Return whether padding changes what a model answers, although it is masked.

    One prompt is answered behind two different paddings of the same length, masked and unmasked.
    Only in a model that ignores the mask does the masked padding matter as much as the unmasked.

    Args:
        model: as loaded.
        vocabulary: ids of ordinary tokens.
        device: of the inputs.
    """
    masked = torch.tensor([[0] * _N_PADDING + [1] * _N_TOKENS], device=device)
    change, change_unmasked = (
        _change(model, vocabulary, mask) for mask in (masked, torch.ones_like(masked))
    )
    return change > _MAX_SHARE * change_unmasked


def _change(model: Any, vocabulary: range, mask: torch.Tensor) -> float:
    """Return the largest difference that another padding makes to a logit of the first token."""
    tokens = [vocabulary[i % len(vocabulary)] for i in range(_N_TOKENS)]
    paddings = (vocabulary[-1 - i % len(vocabulary)] for i in range(2))
    one, other = (
        _logits(model, torch.tensor([[i] * _N_PADDING + tokens], device=mask.device), mask)
        for i in paddings
    )
    return float((one - other).abs().max())


def _logits(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    arguments = transformers.GenerationConfig(
        max_new_tokens=1,
        do_sample=False,
        pad_token_id=0,
        disable_compile=True,
        output_logits=True,
        return_dict_in_generate=True,
    )
    # `generate` derives positions from the mask, as it does in the window.
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        output = model.generate(input_ids=ids, attention_mask=mask, generation_config=arguments)
    logits: torch.Tensor = output.logits[0].float()
    return logits
