"""The types of the weights in a model's files, and whether the device runs them as they are.

A device without FP8, for example, runs an FP8 checkpoint as bfloat16; the library only logs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from llem_energy._backends.pytorch.introspection import main_type, weight_types
from llem_energy._errors import BackendError
from llem_energy._model_info.architecture import quantisation_of, read_config
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._model_info.stored_weights import StoredTensor

# From the words of the safetensors format to those of torch.
_TYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F4": "float4_e2m1fn_x2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_OF = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_UNPACKED = ("float64", "float32", "float16", "bfloat16")


def checkpoint_facts(ref: ModelRef, stored: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """Return how the weights are stored: JSON types only.

    Args:
        ref: the model.
        stored: the tensors in its files; empty if unknown, or if no weights were read.
    """
    return {
        "dtypes": dict(_stored_types(stored)) or None,
        "quantization_config": quantisation_of(read_config(ref) or {}),
    }


def type_warnings(name: str, model: Any, facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the types that run differ from those in the files, as sentences for the result.

    Args:
        name: of the model, for the sentences.
        model: as loaded.
        facts: from `checkpoint_facts`.
    """
    running = main_type(model)
    quantisation, dtypes = facts["quantization_config"], facts["dtypes"]
    if quantisation is not None:
        if not is_packed(model):
            method = quantisation.get("quant_method", "unknown method")
            yield (
                f"model {name!r} is quantised ({method}), but here it runs as {running}: these are "
                "not the figures of the quantised model"
            )
        return
    if dtypes is None or is_packed(model):
        return  # random weights, or quantised because the experiment requests it
    stored = max(dtypes, key=dtypes.__getitem__)
    if stored in _UNPACKED and stored != running:
        yield (
            f"the weights of model {name!r} are stored as {stored} and run as {running}; "
            "`precision` decides this"
        )


def check_types(name: str, model: Any, facts: Mapping[str, Any], precision: str) -> None:
    """Check that a quantised model that was unpacked runs in the requested precision.

    The library may unpack matrices to one type and load the rest in another, and the two cannot be
    multiplied. Parts that an architecture always keeps in fp32 are no difference.

    Args:
        name: of the model, for the sentence.
        model: as loaded.
        facts: from `checkpoint_facts`.
        precision: as requested.

    Raises:
        BackendError: it does not.
    """
    if facts["quantization_config"] is None or is_packed(model):
        return
    types = weight_types(model)
    others = [kind for kind in types if kind not in (_OF[precision], "float32")]
    if len(types) > 1 and others:
        fits = next((key for key, value in _OF.items() if value == others[0]), None)
        advice = f"set `precision: {fits}`" if fits else "use a model that is not quantised"
        raise BackendError(
            f"model {name!r} is quantised, and here a part of its weights runs as {others[0]}, "
            f"which cannot be combined with precision {precision}; {advice}"
        )


def is_packed(model: Any) -> bool:
    """Return whether any matrix of a model is held in a type for quantised weights."""
    tensors = (tensor for group in (model.parameters(), model.buffers()) for tensor in group)
    return any(
        tensor.dim() > 1 and (tensor.element_size() == 1 or tensor.dtype == torch.int32)
        for tensor in tensors
        if tensor.dtype != torch.bool
    )


def _stored_types(stored: Mapping[str, StoredTensor]) -> Counter[str]:
    """Return the number of values of each type."""
    counts: Counter[str] = Counter()
    for tensor in stored.values():
        counts[_TYPES.get(tensor.dtype, tensor.dtype)] += tensor.n_values
    return counts
