"""Checks the tokens of prompts, groups prompts into batches, and pads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from llem_energy._backends.protocol import Batch
from llem_energy._errors import BackendError


def check_ids(model: Any, name: str, prompts: Sequence[Sequence[int]]) -> None:
    """Return if a model has an embedding for each token; on a GPU, another one kills it.

    Args:
        model: as loaded.
        name: of the model.
        prompts: as token ids, none of them empty.

    Raises:
        BackendError: it has not; the message names the row and the token.
    """
    try:
        n_known = model.get_input_embeddings().num_embeddings
    except (AttributeError, NotImplementedError):
        return  # the code of the model has another kind of table
    for number, prompt in enumerate(prompts, 1):
        if max(prompt) >= n_known:
            raise BackendError(
                f"row {number} of the data set has the token {max(prompt)} in the tokenizer of "
                f"{name}, but the model has embeddings for the tokens 0 to {n_known - 1}; use the "
                "tokenizer that belongs to the model"
            )


def grouped(
    prompts: Sequence[Sequence[int]], batch_size: int, *, by_length: bool
) -> list[list[int]]:
    """Return the indices of the prompts of each batch.

    Args:
        prompts: as token ids.
        batch_size: prompts in a batch; the last one may have fewer.
        by_length: the longest prompts first; else the order of the data set.
    """
    order = list(range(len(prompts)))
    if by_length:
        order.sort(key=lambda index: len(prompts[index]), reverse=True)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def padded(
    prompts: Sequence[Sequence[int]], indices: Sequence[int], pad_id: int, device: torch.device
) -> Batch:
    """Return one batch on the device.

    Args:
        prompts: as token ids, all of the data set.
        indices: of the prompts in the batch.
        pad_id: any valid token, because padding is masked.
        device: for the tensors.
    """
    rows = [list(prompts[index]) for index in indices]
    longest = max(len(row) for row in rows)
    # On the left: a decoder continues at the right end, where padding would be read as text.
    ids = [[pad_id] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    inputs = {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(mask, device=device),
    }
    lengths = tuple(len(row) for row in rows)
    return Batch(len(rows), (len(rows), longest), lengths, inputs, tuple(indices))


def unpadded(batch: Batch) -> list[list[int]]:
    """Return the token ids of each prompt of a batch."""
    rows = batch.inputs["input_ids"].tolist()
    return [row[len(row) - length :] for row, length in zip(rows, batch.lengths, strict=True)]
