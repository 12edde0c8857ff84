"""Loads an adapter of peft, and compares what runs with what is in its files."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

from llem_config import LoRAConfig
from llem_config.foreign_files import ForeignFileError
from llem_energy._errors import BackendError
from llem_energy._hub import expanded, model_folder
from llem_energy._model_info.stored_weights import StoredTensor, file_tensors
from llem_energy._model_info.weight_counts import MAX_UNUSED_SHARE

_NAME = "default"  # of the adapter in the model; its files do not have it


def with_adapter(lora: LoRAConfig, model: Any) -> tuple[Any, tuple[str, ...]]:
    """Return a model with its adapter, and warnings for the result.

    Raises:
        BackendError: its files lack weights, or a large share of them is not used.
    """
    peft = importlib.import_module("peft")
    place = str(expanded(lora.adapter)) if lora.adapter.startswith("~") else lora.adapter
    # Otherwise peft runs the adapter of a half-precision model in fp32.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        adapted = peft.PeftModel.from_pretrained(model, place, autocast_adapter_dtype=False)
    # Missing weights would keep their random values, and the library only warns.
    if any("missing adapter keys" in str(warning.message) for warning in caught):
        raise BackendError(
            f"the files of the adapter {lora.adapter} lack weights for this model; "
            "was it made for another model?"
        )
    for w in caught:
        warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    unused = _unused(lora.adapter, adapted.state_dict())
    return (adapted.merge_and_unload() if lora.merge_weights else adapted), unused


def _unused(adapter: str, state: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence if the files have weights that the model does not; peft drops them.

    The library renames some weights, so their numbers count, not only their names.

    Raises:
        BackendError: a large share is not used.
    """
    stored = _stored(adapter)
    in_adapter = {_without_name(name): n.numel() for name, n in state.items() if _has_name(name)}
    in_model = {name for name in stored if name in state}  # e.g. embeddings stored with the adapter
    rest = {name: tensor.n_values for name, tensor in stored.items() if name not in in_model}
    unknown = sorted(name for name in rest if name not in in_adapter)
    n_unused = sum(rest.values()) - sum(in_adapter.values())
    if not unknown or n_unused <= 0:
        return ()
    n_stored = sum(tensor.n_values for tensor in stored.values())
    sentence = (
        f"{n_unused:,} of {n_stored:,} weights ({n_unused / n_stored:.1%}) in the files of the "
        f"adapter {adapter} are not used, e.g. {unknown[0]}"
    )
    if n_unused >= MAX_UNUSED_SHARE * n_stored:
        raise BackendError(f"{sentence}; was it made for another model?")
    return (sentence,)


def _stored(adapter: str) -> Mapping[str, StoredTensor]:
    folder = model_folder(adapter)
    try:
        return {} if folder is None else file_tensors(folder / "adapter_model.safetensors")
    except ForeignFileError:
        return {}  # pickled weights: their names are unknown before they are loaded


def _has_name(key: str) -> bool:
    return _NAME in key.split(".")


def _without_name(key: str) -> str:
    return ".".join(part for part in key.split(".") if part != _NAME)
