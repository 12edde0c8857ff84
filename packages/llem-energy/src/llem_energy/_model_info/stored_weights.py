"""The weights in a model's safetensors files: those that will be loaded, not all that are there.

Only the header of each file is read, which lists its tensors (safetensors, "Format").
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from llem_config.foreign_files import ForeignFileError, opened, parse_json, read_json, shown
from llem_energy._hub import model_folder
from llem_energy._model_info.config_file import read_config_file
from llem_energy._model_info.model_ref import ModelRef

_NAME, INDEX = "model.safetensors", "model.safetensors.index.json"
_MAX_HEADER_BYTES = 100_000_000  # the limit of the format itself
_MAX_INDEX_BYTES = 100_000_000
_MAX_DIMENSIONS = 64
_BITS = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


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
    try:
        return None if folder is None else tensors_in(folder, model.variant) or None
    except ForeignFileError:
        return None


def tensors_in(folder: Path, variant: str | None = None) -> dict[str, StoredTensor]:
    """Return the tensors of the files in a model's folder that will be loaded, by name.

    Raises:
        ForeignFileError: one of the files is missing or damaged; the message has its path.
    """
    tensors: dict[str, StoredTensor] = {}
    for file in loaded_files(folder, variant):
        tensors |= file_tensors(file)
    return tensors


def loaded_files(folder: Path, variant: str | None = None) -> tuple[Path, ...]:
    """Return the safetensors files of a model that transformers loads; () if there are none.

    A folder may contain more: the same weights under the name of another library, or in another
    precision. One whole file comes before an index of several (transformers,
    `_get_resolved_checkpoint_files`).

    Args:
        folder: of the model.
        variant: requested part of the names, as in `model.fp16.safetensors`.

    Raises:
        ForeignFileError: the index cannot be read, or names a file outside the folder.
    """
    whole, index = (folder / with_variant(name, variant) for name in (_NAME, INDEX))
    named = _named_file(folder)
    if named is not None:
        whole, index = named, named
    if whole.suffix == ".safetensors" and _exists(whole):
        return (whole,)
    if index.suffix == ".json" and _exists(index):
        return tuple(folder / name for name in indexed_names(index))
    return ()


def _exists(file: Path) -> bool:
    return file.exists() or file.is_symlink()


def with_variant(name: str, variant: str | None) -> str:
    """Return the name of a file of weights with the requested variant in it."""
    if variant is None:
        return name
    stem, suffix = name.rsplit(".", 1)
    return f"{stem}.{variant}.{suffix}"


def _named_file(folder: Path) -> Path | None:
    """Return the file that config.json names itself, which comes before all others."""
    try:
        name = read_config_file(folder).get("transformers_weights")
    except ForeignFileError:
        return None
    if name is None:
        return None
    return folder / _inside(name, folder / "config.json", "transformers_weights")


def indexed_names(index: Path) -> list[str]:
    """Return the files of weights that an index names, each in the index's folder.

    Raises:
        ForeignFileError: the index is damaged, or names a file outside the folder.
    """
    names = read_json(index, max_bytes=_MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(names, dict):
        raise ForeignFileError(
            f"{index}: weight_map: expected an object, found {shown(names)}; "
            "download the file again"
        )
    return sorted({_inside(name, index, "weight_map") for name in names.values()})


def _inside(name: object, file: Path, key: str) -> str:
    """Return the name of a file that another file states, if it is below the same folder.

    Links are followed: in the cache of the hub, every file is a link to another folder.

    Raises:
        ForeignFileError: it is elsewhere, or no name.
    """
    path = PurePosixPath(name) if isinstance(name, str) else None
    is_name = isinstance(name, str) and bool(path and path.name) and "\0" not in name
    if path is None or not is_name or path.is_absolute() or ".." in path.parts:
        raise ForeignFileError(
            f"{file}: {key}: expected the name of a file in the model's folder, found "
            f"{shown(name)}; correct the file"
        )
    return str(path)


def file_tensors(file: Path) -> Mapping[str, StoredTensor]:
    """Return the tensors of one safetensors file by name, from its header.

    Raises:
        ForeignFileError: the file is missing, damaged or cut off; the message has its path.
    """
    try:
        status = file.stat()
    except (OSError, ValueError):
        status = None
    if status is None:
        with opened(file):  # raises with the reason
            return {}
    # The same files are examined for every point of a study.
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return _tensors(file, identity)


@functools.lru_cache(maxsize=256)
def _tensors(file: Path, identity: tuple[int, ...]) -> Mapping[str, StoredTensor]:
    del identity  # part of the key: a changed file is read again
    with opened(file) as content:
        size_bytes = content.seek(0, 2)
        content.seek(0)
        n_bytes = int.from_bytes(content.read(8), "little")
        if size_bytes < 8 or n_bytes > min(_MAX_HEADER_BYTES, size_bytes - 8):
            raise ForeignFileError(
                f"{file}: expected a safetensors file, found a header of {n_bytes:,} bytes in a "
                f"file of {size_bytes:,}; download the file again"
            )
        try:
            header = content.read(n_bytes)
        except OSError as error:
            raise ForeignFileError(f"{file}: cannot be read: {error.strerror}") from error
    entries = parse_json(header, f"{file} (header)")
    entries.pop("__metadata__", None)
    return _checked(entries, size_bytes - 8 - n_bytes, file)


def _checked(entries: Mapping[str, Any], data_bytes: int, file: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a header if their bytes fill the file, one after the other.

    Raises:
        ForeignFileError: they do not, or a value has a wrong type.
    """
    tensors: dict[str, StoredTensor] = {}
    places: list[tuple[int, int]] = []
    for name, entry in entries.items():
        tensor, begin = _tensor(entry)
        if tensor is None:
            raise ForeignFileError(
                f"{file}: expected dtype, shape and data_offsets that agree, found another entry "
                f"for the tensor {shown(name)}; download the file again"
            )
        tensors[name] = tensor
        places.append((begin, begin + tensor.n_bytes))
    end = 0
    for begin, next_end in sorted(places):
        if begin != end:
            raise ForeignFileError(
                f"{file}: expected tensors one after the other, found "
                f"{'an overlap' if begin < end else 'a gap'} at byte {min(begin, end):,} of the "
                "data; download the file again"
            )
        end = next_end
    if end != data_bytes:
        raise ForeignFileError(
            f"{file}: expected {end:,} bytes of weights, found {data_bytes:,}; "
            "download the file again"
        )
    return tensors


def _tensor(entry: object) -> tuple[StoredTensor | None, int]:
    """Return a tensor and where its bytes begin; None if its description is damaged."""
    if not isinstance(entry, dict):
        return None, 0
    dtype, shape, offsets = (entry.get(name) for name in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not _are_counts(shape) or not _are_counts(offsets):
        return None, 0
    assert isinstance(shape, list)
    assert isinstance(offsets, list)
    if len(shape) > _MAX_DIMENSIONS or len(offsets) != 2 or offsets[0] > offsets[1]:
        return None, 0
    n_bytes = offsets[1] - offsets[0]
    bits = _BITS.get(dtype)
    if bits is not None and math.prod(shape) * bits != n_bytes * 8:
        return None, 0
    return StoredTensor(dtype=dtype, shape=tuple(shape), n_bytes=n_bytes), offsets[0]


def _are_counts(values: object) -> bool:
    """Return whether a value is a list of whole numbers that a file can have."""
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
        for value in values
    )
