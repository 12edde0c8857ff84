"""The files of a model, an adapter or a data set that a run loads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from llem_config.foreign_files import ForeignFileError
from llem_energy._model_info.stored_weights import INDEX, indexed_names, loaded_files, with_variant

_PICKLE, _PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_CONFIG = (
    "config.json",
    "generation_config.json",
    "adapter_config.json",  # transformers loads an adapter that lies in the model's folder
    "adapter_model.safetensors",
    "quantize_config.json",
    "quant_config.json",
)
_TOKENIZER = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "*merges.txt"),
    *("*.model", "*.tiktoken", "*.bpe", "*.spm", "tekken.json", "bpe.codes"),
    *("chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja"),
)
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


class LoadedParts(msgspec.Struct, frozen=True):
    """What an inference library reads from the folder of a model, besides its configuration."""

    weights: Literal["safetensors", "pickle"] | None = "safetensors"
    """The preferred format; None: the weights are random."""
    code: bool = False
    """Whether it runs the Python code in the folder."""


def model_files(folder: Path, parts: LoadedParts, variant: str | None = None) -> dict[str, Path]:
    """Return the files of a model that are loaded, by their name in the folder.

    Args:
        folder: of the model.
        parts: what is read.
        variant: requested part of the names of the weights; see `loaded_files`.
    """
    paths = [folder / name for name in _CONFIG]
    if parts.weights is not None:
        paths += _weights(folder, parts.weights, variant)
    for pattern in _TOKENIZER:
        paths += folder.glob(pattern)
    if parts.code:
        paths += folder.rglob("*.py")
    return _by_name(folder, paths)


def adapter_files(folder: Path) -> dict[str, Path]:
    """Return the files of an adapter that are loaded, by name."""
    return _by_name(folder, [folder / name for name in _ADAPTER])


def data_files(path: Path) -> dict[str, Path]:
    """Return the file of a data set, or every file in its folder, by name."""
    if not path.is_dir():
        return {path.name: path}
    files = (file for file in path.rglob("*") if file.is_file())
    visible = [f for f in files if not any(p.startswith(".") for p in f.relative_to(path).parts)]
    return _by_name(path, visible)


def _weights(
    folder: Path, preferred: Literal["safetensors", "pickle"], variant: str | None
) -> list[Path]:
    kinds = (_safetensors, _pickles)
    for kind in kinds if preferred == "safetensors" else reversed(kinds):
        try:
            paths = kind(folder, variant)
        except ForeignFileError:
            continue  # a damaged index; loading reports it
        if paths:
            return paths
    return []


def _safetensors(folder: Path, variant: str | None) -> list[Path]:
    files = loaded_files(folder, variant)
    index = folder / with_variant(INDEX, variant)
    return [*files, index] if len(files) > 1 and index.is_file() else [*files]


def _pickles(folder: Path, variant: str | None) -> list[Path]:
    whole, index = (folder / with_variant(name, variant) for name in (_PICKLE, _PICKLE_INDEX))
    if whole.is_file():
        return [whole]
    if not index.is_file():
        return []
    return [index, *(folder / name for name in indexed_names(index))]


def _by_name(folder: Path, paths: list[Path]) -> dict[str, Path]:
    return dict(sorted(_named(folder, paths)))


def _named(folder: Path, paths: list[Path]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        if path.is_dir() or not path.exists():
            continue
        is_inside = path.is_relative_to(folder)
        yield (path.relative_to(folder).as_posix() if is_inside else str(path)), path
