"""Reads Parquet files row by row, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llem_energy._errors import DatasetError
from llem_energy._prompts.table import DataTable, Row

_BATCH_ROWS = 64
_BUFFER_BYTES = 2**20


def parquet_table(path: Path) -> DataTable:
    """Return the table of a Parquet file.

    Raises:
        DatasetError: the file is damaged.
    """
    with _opened(path) as file:
        columns, n_rows = tuple(file.schema_arrow.names), file.metadata.num_rows
    return DataTable(str(path), columns, n_rows, lambda column: _rows(path, column))


def _rows(path: Path, column: str | None) -> Iterator[Row]:
    number = 0
    with _opened(path) as file:
        names = None if column is None else [column]
        for batch in file.iter_batches(_BATCH_ROWS, columns=names):
            for cells, problem in _cells(batch):
                number += 1
                yield Row(number, cells, problem=problem)


def _cells(batch: Any) -> Iterator[tuple[dict[str, object], str | None]]:
    try:
        rows = batch.to_pylist()
    except UnicodeDecodeError:  # find the row
        yield from _single_cells(batch)
    else:
        yield from ((cells, None) for cells in rows)


def _single_cells(batch: Any) -> Iterator[tuple[dict[str, object], str | None]]:
    for index in range(batch.num_rows):
        try:
            (cells,) = batch.slice(index, 1).to_pylist()
        except UnicodeDecodeError:
            yield {}, "expected UTF-8, found other bytes"
        else:
            yield cells, None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        with (
            path.open("rb") as content,
            pyarrow.parquet.ParquetFile(content, buffer_size=_BUFFER_BYTES) as file,
        ):
            yield file
    except (pyarrow.ArrowException, ValueError, OverflowError, MemoryError) as error:
        raise DatasetError(f"{path}: damaged: {' '.join(str(error).split())}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise DatasetError(f"{path}: damaged: {' '.join(str(error).split())}") from error
