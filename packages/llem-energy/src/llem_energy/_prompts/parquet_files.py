"""Reads Parquet files row by row, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from llem_energy._errors import DatasetError
from llem_energy._prompts.parquet_pages import Page, pages
from llem_energy._prompts.table import DataTable, Row

_BATCH_ROWS = 64
_BUFFER_BYTES = 2**20
_MAX_DICTIONARY_BYTES = 2**20
_COMMON_PAGE_BYTES, _MAX_PAGE_BYTES = 2**26, 2**30
"""In memory. Writers make pages of about a megabyte, but some have at least 1024 rows, of any length."""
_MAX_RATIO = 200
"""Of a page that is not common to its compressed size; text has less than 20."""


def parquet_table(path: Path) -> DataTable:
    """Return the table of a Parquet file.

    Raises:
        DatasetError: the file is damaged.
    """
    with _opened(path) as file:
        columns, n_rows = tuple(file.schema_arrow.names), file.metadata.num_rows
    return DataTable(str(path), columns, n_rows, lambda columns: _rows(path, columns))


def _rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    number = 0
    with _opened(path) as file, path.open("rb") as content:
        for group in range(file.num_row_groups):
            # As late as possible: a point may use the first rows of a large file only.
            n_rows = _BATCH_ROWS
            for page in _pages(file, content, group, columns):
                if problem := _page_problem(page):
                    yield Row(number + 1, {}, problem=problem, ends_reading=True)
                    return
                if page.is_dictionary and page.n_bytes > _MAX_DICTIONARY_BYTES:
                    n_rows = 1  # each row may be a copy of a large value
            for batch in file.iter_batches(n_rows, [group], columns=list(columns) or None):
                for cells, problem in _cells(batch):
                    number += 1
                    yield Row(number, cells, problem=problem)


def _pages(file: Any, content: BinaryIO, group: int, columns: Sequence[str]) -> Iterator[Page]:
    row_group = file.metadata.row_group(group)
    for number in range(row_group.num_columns):
        chunk = row_group.column(number)
        path = f"{chunk.path_in_schema}."
        if not columns or any(path.startswith(f"{name}.") for name in columns):
            yield from pages(content, chunk)


def _page_problem(page: Page) -> str | None:
    limit = min(_MAX_PAGE_BYTES, max(_COMMON_PAGE_BYTES, _MAX_RATIO * page.n_stored_bytes))
    if page.n_bytes <= limit:
        return None
    return (
        f"expected a page of at most {limit // 2**20} MiB from {page.n_stored_bytes:,} bytes, found "
        f"{page.n_bytes // 2**20} MiB; write the file again with smaller pages"
    )


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
