"""The weights in a model's safetensors files: those that will be loaded, not all that are there.

Only the header of each file is read, which lists its tensors (safetensors, "Format").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from llem_energy._hub import model_folder
from llem_energy._model_info.model_ref import ModelRef

_NAME, _INDEX = "model.safetensors", "model.safetensors.index.json"
_MAX_HEADER_BYTES = 100_000_000  # the limit of the format itself


class StoredTensor(msgspec.Struct, frozen=True):
    """One tensor of a file."""

    dtype: str
    """In the words of the format: F32, F16, BF16, F8_E4M3, I32, U8, ..."""
    shape: tuple[int, ...]
    n_bytes: int

    @property
    def n_values(self) -> int:
        """Return the number of values, which is more than that of weights if they are packed."""
        return math.prod(self.shape)


def stored_weights(model: ModelRef) -> dict[str, StoredTensor] | None:
    """Return the tensors of the files that will be loaded, by name.

    None if this machine does not have all of these files, or if one is damaged.
    """
    folder = model_folder(model.name, model.revision)
    tensors: dict[str, StoredTensor] = {}
    try:
        for file in loaded_files(folder, model.variant) if folder is not None else ():
            tensors |= _tensors(file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return tensors or None


def loaded_files(folder: Path, variant: str | None = None) -> tuple[Path, ...]:
    """Return the safetensors files of a model that transformers loads; () if there are none.

    A folder may contain more: the same weights under the name of another library, or in another
    precision. One whole file comes before an index of several (transformers,
    `_get_resolved_checkpoint_files`).

    Args:
        folder: of the model.
        variant: requested part of the names, as in `model.fp16.safetensors`.

    Raises:
        OSError: the index cannot be read.
        ValueError: it is damaged.
    """
    whole, index = (folder / _with_variant(name, variant) for name in (_NAME, _INDEX))
    named = _named_file(folder)
    if named is not None:
        whole, index = named, named
    if whole.suffix == ".safetensors" and whole.is_file():
        return (whole,)
    if index.suffix == ".json" and index.is_file():
        names = json.loads(index.read_text("utf-8"))["weight_map"].values()
        return tuple(folder / name for name in sorted(set(names)))
    return ()


def _with_variant(name: str, variant: str | None) -> str:
    if variant is None:
        return name
    stem, suffix = name.rsplit(".", 1)
    return f"{stem}.{variant}.{suffix}"


def _named_file(folder: Path) -> Path | None:
    """Return the file that config.json names itself, which comes before all others."""
    try:
        data = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    name = data.get("transformers_weights") if isinstance(data, dict) else None
    return folder / name if isinstance(name, str) else None


def _tensors(file: Path) -> dict[str, StoredTensor]:
    header: Mapping[str, Any]
    with file.open("rb") as content:
        n_bytes = int.from_bytes(content.read(8), "little")
        if n_bytes > _MAX_HEADER_BYTES:
            raise ValueError("not a safetensors file")
        header = json.loads(content.read(n_bytes))
    return {
        name: StoredTensor(
            dtype=str(tensor["dtype"]),
            shape=tuple(int(size) for size in tensor["shape"]),
            n_bytes=int(tensor["data_offsets"][1]) - int(tensor["data_offsets"][0]),
        )
        for name, tensor in header.items()
        if name != "__metadata__"
    }
