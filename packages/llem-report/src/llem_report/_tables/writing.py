"""Writes a table in one of the formats, in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Literal, get_args

from llem_report._tables.table_data import TableData
from llem_report._tables.text_formats import write_csv, write_jsonl

Format = Literal["parquet", "csv", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)
_ROW_GROUP = 131_072
"""Rows that are in memory together."""


def write_table(file: BinaryIO, kind: Format, data: TableData) -> int:
    """Write all rows of a table, and return their number.

    Raises:
        OSError: the file cannot be written.
    """
    writers: dict[Format, Callable[[BinaryIO, TableData], int]] = {
        "parquet": _write_parquet,
        "csv": write_csv,
        "jsonl": write_jsonl,
    }
    return writers[kind](file, data)


def _write_parquet(file: BinaryIO, data: TableData) -> int:
    import pyarrow.parquet as pq

    n_rows = 0
    with pq.ParquetWriter(file, data.schema(), compression="zstd") as writer:
        for table in _row_groups(data):
            writer.write_table(table, row_group_size=_ROW_GROUP)
            n_rows += table.num_rows
    return n_rows


def _row_groups(data: TableData) -> Iterator[Any]:
    """Yield the rows in large parts: many small row groups make a file large and slow to read."""
    import pyarrow as pa

    pending: list[Any] = []
    schema = data.schema()
    for table in data.batches:
        pending.append(table.replace_schema_metadata(schema.metadata))
        if sum(each.num_rows for each in pending) >= _ROW_GROUP:
            yield pa.concat_tables(pending)
            pending.clear()
    if pending:
        yield pa.concat_tables(pending)
