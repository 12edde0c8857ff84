"""Finds in which file of a data set folder a row is, for messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llem_config import DatasetConfig
from llem_energy._errors import DatasetError
from llem_energy._prompts.parquet_files import parquet_table
from llem_energy._prompts.text_files import READERS


class RowFinder:
    """Counts the rows of the files of a folder when the first row is looked for.

    A single file has the row numbers of the data set.
    """

    def __init__(
        self, library: Any, folder: Path, dataset: DatasetConfig, split: str, n_rows: int
    ) -> None:
        """Prepare.

        Args:
            library: `datasets`.
            folder: of the data set; of a data set on the hub it does not exist.
            dataset: with its subset.
            split: that was read.
            n_rows: of the split.
        """
        self._library = library
        self._folder = folder
        self._dataset = dataset
        self._split = split
        self._n_rows = n_rows
        self._counts: list[tuple[str, int]] | None = None

    def place(self, number: int) -> str | None:
        """Return file and row in the file of a row of the split; None if that is not known.

        Args:
            number: of the row, counted from 1 over all files.
        """
        if self._counts is None:
            self._counts = self._counted()
        for name, n_rows in self._counts:
            if number <= n_rows:
                return f"row {number} of {name}"
            number -= n_rows
        return None

    def _counted(self) -> list[tuple[str, int]]:
        """Return the files in the order of their rows, with their numbers of rows."""
        if not self._folder.is_dir():
            return []
        try:
            builder = self._library.load_dataset_builder(str(self._folder), self._dataset.subset)
            paths = [Path(name) for name in builder.config.data_files[self._split]]
            counts = [(_shown(path, self._folder), _n_rows(path)) for path in paths]
        except Exception:  # noqa: BLE001  # the place is an extra; the library raises anything
            return []
        if len(counts) < 2:
            return []
        is_complete = sum(n_rows for _, n_rows in counts) == self._n_rows
        return counts if is_complete else []


def _shown(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _n_rows(path: Path) -> int:
    """Return the rows of a file.

    Raises:
        DatasetError: it is of a kind that only the library reads.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return parquet_table(path).n_rows or 0
    if suffix not in READERS:
        raise DatasetError(f"{path}: of another kind")
    return sum(1 for _ in READERS[suffix](path).rows(()))
