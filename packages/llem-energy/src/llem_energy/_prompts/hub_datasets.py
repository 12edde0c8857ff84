"""Reads prompts from a data set of the hub, or a folder in the hub's layout, with `datasets`.

This library is an optional extra. It is imported only when such a data set is read.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from llem_config import DatasetConfig
from llem_energy._errors import DatasetError
from llem_energy._hub import cached_snapshot, is_hub_id

ALIASES = {"aienergyscore": "AIEnergyScore/text_generation"}
"""Short names of data sets on the hub."""


def hub_rows(dataset: DatasetConfig, n: int) -> list[Any]:
    """Return the first `n` rows, or all if there are fewer.

    Raises:
        DatasetError: the library, the data set, its subset or its split is missing.
    """
    source = ALIASES.get(dataset.source, dataset.source)
    folder = Path(source).expanduser()
    if not folder.is_dir() and not is_hub_id(source):
        raise DatasetError(f"there is no data set {source}: expected a file, a folder or a hub id")
    library = _library(source)
    with _foreign_errors(library, source):
        if folder.is_dir():
            return _first(library, str(folder), dataset, n)
        try:
            return _first(library, source, dataset, n)
        except ConnectionError:
            # It may have been downloaded by `hf download` instead of by this library.
            snapshot = cached_snapshot(source, kind="datasets")
            if snapshot is None:
                raise
            return _first(library, str(snapshot), dataset, n)


def _first(library: Any, place: str, dataset: DatasetConfig, n: int) -> list[Any]:
    split = dataset.split or _only_split(library.get_dataset_split_names(place, dataset.subset))
    # Streaming would read less, but it imports torch and caches nothing.
    rows = library.load_dataset(place, dataset.subset, split=split)
    return list(islice(rows, n))


def _only_split(names: Sequence[str]) -> str:
    if "train" in names or len(names) == 1:
        return "train" if "train" in names else names[0]
    raise ValueError(f"expected a split named train, found {', '.join(names)}; set `split`")


def _library(source: str) -> Any:
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise DatasetError(
            f"the data set {source} needs the library datasets; install it with "
            "`pip install 'llem-energy[datasets]'`"
        ) from error
    library.disable_progress_bars()
    return library


@contextmanager
def _foreign_errors(library: Any, source: str) -> Iterator[None]:
    types = (OSError, ValueError, LookupError, RuntimeError, library.exceptions.DatasetsError)
    try:
        yield
    except types as error:
        text = " ".join(str(error).split())
        raise DatasetError(f"the data set {source} cannot be read: {text}") from error
