"""The studies that the PyTorch backend proposes to begin with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llem_energy._backends.first_study import FirstStudy

_BATCH = "pytorch.batch_size"
_AXES: dict[str, list[Any]] = {
    "pytorch.attn_implementation": ["eager", "sdpa"],
    "pytorch.torch_compile": [False, True],
}
_COMMENTS = {
    "pytorch.device": "fails if there is none",
    "pytorch.device_map": "spread over all visible GPUs",
    "pytorch.load_in_4bit": "it does not fit otherwise",
}


def first_studies(n_gpus: int) -> Iterator[FirstStudy]:
    """Yield studies, the preferred ones first: one GPU, several, 4 bits on one, the processor.

    Args:
        n_gpus: number of visible GPUs.
    """
    cuda = {"pytorch.device": "cuda"}
    if n_gpus:
        yield _study(cuda, on_gpu=True)
    if n_gpus > 1:
        yield _study({**cuda, "pytorch.device_map": "auto"}, on_gpu=True)
    if n_gpus:
        yield _study({**cuda, "pytorch.load_in_4bit": True}, on_gpu=True)
    yield _study({"pytorch.device": "cpu"}, on_gpu=False)


def _study(fields: Mapping[str, Any], *, on_gpu: bool) -> FirstStudy:
    comments = {key: _COMMENTS[key] for key in fields}
    if not on_gpu:
        comments["pytorch.device"] = "cuda for a GPU"
    return FirstStudy(
        on_gpu=on_gpu,
        fields=dict(fields),
        comments=comments,
        batch_axis=_BATCH,
        batch_sizes=(1, 8, 32) if on_gpu else (1, 8),
        further_axes=_AXES,
    )
