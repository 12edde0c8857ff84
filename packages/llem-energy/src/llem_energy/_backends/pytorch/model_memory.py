"""The memory of a model: its weights, and the peak of the device that runs it."""

from __future__ import annotations

from typing import Any

import torch

from llem_energy._backends.protocol import Memory
from llem_energy._backends.pytorch.process_memory import (
    peak_resident_bytes,
    reset_peak_resident_bytes,
)


def reset_peak(device: torch.device, gpus: range) -> None:
    """Reset the peak of the allocator, or on a CPU that of the kernel.

    Args:
        device: of the model.
        gpus: in use, if it is a GPU.
    """
    if device.type == "cuda":
        for index in gpus:
            torch.cuda.reset_peak_memory_stats(index)
    else:
        reset_peak_resident_bytes()


def memory_of(model: Any, device: torch.device, gpus: range) -> Memory:
    """Return the peak since `reset_peak`, and the weights alone.

    Args:
        model: None before it is loaded.
        device: of the model.
        gpus: in use, if it is a GPU.
    """
    weights = None if model is None else model_bytes(model)
    if device.type == "cuda":
        peak = sum(int(torch.cuda.max_memory_allocated(index)) for index in gpus)
        return Memory(peak, weights, "torch allocator of this process, weights included")
    return Memory(peak_resident_bytes(), weights, "resident set of this process, all included")


def model_bytes(model: Any) -> int:
    """Return the memory of all weights and buffers, as stored."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
