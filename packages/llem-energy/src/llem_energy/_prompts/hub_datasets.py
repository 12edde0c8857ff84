"""Reads prompts from a data set of the hub, or a folder in the hub's layout, with `datasets`.

This library is an optional extra. It is imported only when such a data set is read.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from llem_config import DatasetConfig
from llem_energy._errors import DatasetError
from llem_energy._hub import cached_snapshot, is_hub_id, offline_variable
from llem_energy._hub_access import unreachable_hub
from llem_energy._prompts.file_kinds import require_kind, unreadable
from llem_energy._prompts.folder_rows import RowFinder
from llem_energy._prompts.parquet_files import parquet_table
from llem_energy._prompts.table import DataTable, Row
from llem_energy._prompts.text_files import READERS

ALIASES = {"aienergyscore": "AIEnergyScore/text_generation"}
"""Short names of data sets on the hub."""


def hub_table(dataset: DatasetConfig) -> DataTable:
    """Return the table of a data set of the hub.

    Raises:
        DatasetError: the library, the data set, its subset or its split is missing.
    """
    source = ALIASES.get(dataset.source, dataset.source)
    folder = Path(source).expanduser()
    if not folder.is_dir() and not is_hub_id(source):
        raise DatasetError(f"there is no data set {source}: expected a file, a folder or a hub id")
    library = _library(source)
    with _foreign_errors(source), _named_files(library, folder):
        rows = _loaded(library, source, folder, dataset)
        columns, n_rows = tuple(rows.column_names), rows.num_rows
    files = RowFinder(library, folder, dataset, str(rows.split), n_rows)
    return DataTable(
        source, columns, n_rows, lambda names: _rows(source, rows, names), locate=files.place
    )


def _rows(source: str, rows: Any, names: Sequence[str]) -> Iterator[Row]:
    with _foreign_errors(source):
        # Without other columns, the library decodes no images and opens no sound files.
        selected = rows.select_columns(list(names)) if names else rows
        for number, cells in enumerate(selected, 1):
            yield Row(number, cells)


def _loaded(library: Any, source: str, folder: Path, dataset: DatasetConfig) -> Any:
    if folder.is_dir():
        return _load(library, str(folder), dataset)
    reason = None if library.config.HF_HUB_OFFLINE else unreachable_hub()
    with _offline(library) if reason else nullcontext():
        try:
            return _load(library, source, dataset)
        except ConnectionError as error:
            # It may have been downloaded by `hf download` instead of by this library.
            snapshot = cached_snapshot(source, kind="datasets")
            if snapshot is not None:
                return _load(library, str(snapshot), dataset)
            if reason is None and (variable := offline_variable("datasets")) is not None:
                raise DatasetError(
                    f"the data set {source} is not in the local cache, and {variable} is set; "
                    f"download the data set, or unset {variable}"
                ) from error
            if reason is None:
                raise
            raise DatasetError(
                f"the data set {source} is not in the local cache, and {reason}; download the "
                "data set where the hub can be reached"
            ) from error


@contextmanager
def _offline(library: Any) -> Iterator[None]:
    """Let the library read its cache at once; it would try to reach the hub for half a minute."""
    modules: tuple[Any, ...] = (
        library.config,
        importlib.import_module("huggingface_hub.constants"),
    )
    before = [module.HF_HUB_OFFLINE for module in modules]
    try:
        for module in modules:
            module.HF_HUB_OFFLINE = True
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value


def _load(library: Any, place: str, dataset: DatasetConfig) -> Any:
    split = dataset.split or _only_split(library.get_dataset_split_names(place, dataset.subset))
    # Streaming would read less, but it imports torch and caches nothing.
    return library.load_dataset(place, dataset.subset, split=split)


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
    library.logging.set_verbosity(library.logging.CRITICAL)  # errors are in our messages
    return library


class _UnreadFiles(logging.Handler):
    """Keeps the files of which the library logs that it cannot read them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the file that a message of the library names first."""
        if name := re.search(r"(?:file|from) '([^']+)'", record.getMessage()):
            self.names.append(name[1])


def _damage(folder: Path) -> str | None:
    """Return the first problem that our own readers find in the files of a folder."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        reader = {".parquet": parquet_table, **READERS}.get(path.suffix.lower())
        if reader is None or not path.is_file():
            continue
        try:
            require_kind(path)
            for row in reader(path).rows(()):
                if row.problem is not None:
                    return f"{path}: {row.place}: {row.problem}"
        except DatasetError as error:
            return str(error)
        except OSError as error:
            return unreadable(path, error)
    return None


@contextmanager
def _named_files(library: Any, folder: Path) -> Iterator[None]:
    """Add the file to an error of reading it: the library names it in its log, or not at all.

    Args:
        library: `datasets`.
        folder: of the data set; it may not exist.

    Raises:
        DatasetError: the library cannot read a file.
    """
    logger = logging.getLogger(library.__name__)
    files = _UnreadFiles()
    before = logger.level, logger.propagate, logger.handlers[:]
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.handlers[:] = [files]  # the library's own would print
    try:
        yield
    except Exception as error:
        if isinstance(error, DatasetError):
            raise
        if files.names:
            raise DatasetError(f"{files.names[0]}: cannot be read: {_reasons(error)}") from error
        if (problem := _damage(folder)) is not None:
            raise DatasetError(f"{problem} ({_reasons(error)})") from error
        raise
    finally:
        logger.level, logger.propagate, logger.handlers[:] = before


@contextmanager
def _foreign_errors(source: str) -> Iterator[None]:
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:
        # The library reads files of any content, and raises whatever its parsers raise.
        raise DatasetError(f"the data set {source} cannot be read: {_reasons(error)}") from error


def _reasons(error: BaseException) -> str:
    """Return the message of an error and of its first cause, which often is the only reason."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    texts = [" ".join(str(each).split()) or type(each).__name__ for each in (error, first)]
    return ": ".join(dict.fromkeys(texts))
