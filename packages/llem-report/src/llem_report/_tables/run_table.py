"""The table of runs, built column by column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llem_report._tables.arrays import array_of
from llem_report._tables.columns import Column, arrow_type
from llem_report._tables.open_parts import MAX_COLUMNS, OpenPart
from llem_report._tables.run_parts import run_parts
from llem_report._tables.run_records import RunRecord
from llem_report._tables.struct_columns import Part

_CHUNK = 2000
"""Runs that are kept as values of Python, which need more memory than arrays."""


class RunTable:
    """Collects runs, and returns their columns."""

    def __init__(self) -> None:
        self.n_left_out = 0
        """Columns that were left out, because there are more than `MAX_COLUMNS` of one kind."""
        self._stores = [
            _FixedStore(part) if isinstance(part, Part) else _OpenStore(part)
            for part in run_parts()
        ]

    def add_all(self, records: Iterable[RunRecord]) -> None:
        """Add a row for each run."""
        n_pending = 0
        for record in records:
            for store in self._stores:
                store.add(record)
            n_pending += 1
            if n_pending == _CHUNK:
                self._flush()
                n_pending = 0
        self._flush()

    def columns(self) -> list[tuple[Column, Any]]:
        """Return every column with its values, as a chunked array of Arrow."""
        self.n_left_out = sum(store.n_left_out for store in self._stores)
        return [pair for store in self._stores for pair in store.columns()]

    def _flush(self) -> None:
        for store in self._stores:
            store.flush()


class _FixedStore:
    """Values of columns that every study has."""

    n_left_out = 0

    def __init__(self, part: Part) -> None:
        self._part = part
        self._rows: list[tuple[Any, ...]] = []
        self._chunks: list[list[Any]] = [[] for _ in part.columns]

    def add(self, record: RunRecord) -> None:
        self._rows.append(self._part.values(record))

    def flush(self) -> None:
        if not self._rows:
            return
        values = zip(*self._rows, strict=True)
        for each, column_values, chunks in zip(
            self._part.columns, values, self._chunks, strict=True
        ):
            chunks.append(array_of(each, column_values))
        self._rows.clear()

    def columns(self) -> list[tuple[Column, Any]]:
        return [
            (each, _chunked(each, chunks))
            for each, chunks in zip(self._part.columns, self._chunks, strict=True)
        ]


class _OpenStore:
    """Values of columns that only some studies have."""

    def __init__(self, part: OpenPart) -> None:
        self.n_left_out = 0
        self._part = part
        self._rows: list[dict[str, Any]] = []
        self._names: dict[str, None] = {}
        self._left_out: set[str] = set()
        self._chunks: list[tuple[int, dict[str, Any]]] = []

    def add(self, record: RunRecord) -> None:
        row = dict(self._part.values(record))
        for name in [name for name in row if name not in self._names]:
            if len(self._names) < MAX_COLUMNS:
                self._names[name] = None
            else:
                del row[name]
                self.n_left_out = self.n_left_out + (name not in self._left_out)
                if len(self._left_out) < MAX_COLUMNS:
                    self._left_out.add(name)
        self._rows.append(row)

    def flush(self) -> None:
        if not self._rows:
            return
        names = dict.fromkeys(name for row in self._rows for name in row)
        arrays = {
            each.name: array_of(each, [row.get(each.name) for row in self._rows])
            for each in self._part.columns(names)
        }
        self._chunks.append((len(self._rows), arrays))
        self._rows.clear()

    def columns(self) -> list[tuple[Column, Any]]:
        import pyarrow as pa

        return [
            (
                each,
                _chunked(
                    each,
                    [
                        arrays[each.name]
                        if each.name in arrays
                        else pa.nulls(n_rows, arrow_type(each.type))
                        for n_rows, arrays in self._chunks
                    ],
                ),
            )
            for each in self._part.columns(self._names)
        ]


def _chunked(each: Column, chunks: list[Any]) -> Any:
    import pyarrow as pa

    return pa.chunked_array(chunks, type=arrow_type(each.type))
