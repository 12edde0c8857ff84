"""Groups prompts into batches and pads them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from llem_energy._backends.protocol import Batch


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
