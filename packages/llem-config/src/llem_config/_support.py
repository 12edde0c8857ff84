"""What each backend supports: the single source for validators, help texts and documents."""

from __future__ import annotations

from typing import Literal, get_args

BackendName = Literal["pytorch", "vllm", "tensorrt"]
Precision = Literal["fp32", "fp16", "bf16"]
Decoding = Literal["greedy", "sampling", "beam"]
PhaseName = Literal["prefill", "decode"]

INCOMPATIBLE = "llem_incompatible"
"""Error type of a combination that no backend can run, each value being fine in itself."""

BACKENDS: tuple[str, ...] = get_args(BackendName)
PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
"""In the order of an answer."""

PRECISION_SUPPORT: dict[str, tuple[Precision, ...]] = {
    "pytorch": ("fp32", "fp16", "bf16"),
    "vllm": ("fp16", "bf16"),
    "tensorrt": ("fp16", "bf16"),
}

DECODING_SUPPORT: dict[str, tuple[Decoding, ...]] = {
    "pytorch": ("greedy", "sampling", "beam"),
    "vllm": ("greedy", "sampling", "beam"),
    "tensorrt": ("greedy", "sampling"),
}
