"""What each backend supports; validators, help texts and documentation all use these tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from llem_config._spec.plugins import OTHER_SECTIONS

BACKENDS: tuple[str, ...] = ("pytorch", "vllm", "tensorrt", *OTHER_SECTIONS)
if TYPE_CHECKING:
    BackendName = str
else:
    BackendName = Literal[BACKENDS]  # the backends of other packages are known only at run time
Precision = Literal["fp32", "fp16", "bf16"]
Decoding = Literal["greedy", "sampling", "beam"]
PhaseName = Literal["prefill", "decode"]

INCOMPATIBLE = "llem_incompatible"
"""Error type of a combination that no backend can run, although each value is valid alone."""

PHASES: tuple[PhaseName, ...] = get_args(PhaseName)
"""In the order in which they run."""

PRECISION_SUPPORT: dict[str, tuple[Precision, ...]] = {
    "pytorch": ("fp32", "fp16", "bf16"),
    "vllm": ("fp16", "bf16"),
    "tensorrt": ("fp16", "bf16"),
    **{
        name: getattr(section, "PRECISIONS", get_args(Precision))
        for name, section in OTHER_SECTIONS.items()
    },
}

DECODING_SUPPORT: dict[str, tuple[Decoding, ...]] = {
    "pytorch": ("greedy", "sampling", "beam"),
    "vllm": ("greedy", "sampling", "beam"),
    "tensorrt": ("greedy", "sampling"),
    **{
        name: getattr(section, "DECODINGS", get_args(Decoding))
        for name, section in OTHER_SECTIONS.items()
    },
}
