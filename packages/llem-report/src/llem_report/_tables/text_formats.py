"""Tables as text: CSV for spreadsheets, and one JSON object per line.

A cell of CSV that begins like a formula would be calculated by a spreadsheet. Its text gets an
apostrophe in front, as does a text that begins with one: without its first apostrophe, each cell is the
text again. Numbers stay numbers, also those in columns of text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from llem_report._tables.table_data import TableData

SEPARATOR = "; "
"""Between the texts of one cell."""
_WIDE = "\uff1d\uff0b\uff0d\uff20"  # the same four signs as wide characters, which count too
_FORMULA = rf"^[=+\-@\n'{_WIDE}]"
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_ROWS = 10_000


def write_csv(file: BinaryIO, data: TableData) -> int:
    """Write a table as CSV (RFC 4180, but lines end with a line feed); return the number of rows.

    UTF-8 without a byte order mark. Null is an empty cell; text is in quotation marks.
    """
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    fields = [
        (each.name, pa.string() if _is_text(field.type) else field.type)
        for each, field in zip(data.columns, data.schema(), strict=True)
    ]
    n_rows = 0
    with pa_csv.CSVWriter(file, pa.schema(fields)) as writer:
        for table in data.batches:
            writer.write_table(
                pa.Table.from_arrays(
                    [_csv_cells(column) for column in table.columns], schema=pa.schema(fields)
                )
            )
            n_rows += table.num_rows
    return n_rows


def write_jsonl(file: BinaryIO, data: TableData) -> int:
    """Write a table as JSON Lines: every object has all columns; return the number of rows."""
    encoder = msgspec.json.Encoder()
    names = [each.name for each in data.columns]
    n_rows = 0
    for table in _slices(data.batches):
        values = [_json_values(column).to_pylist() for column in table.columns]
        for row in zip(*values, strict=True):
            file.write(encoder.encode(dict(zip(names, row, strict=True))) + b"\n")
        n_rows += table.num_rows
    return n_rows


def guarded(texts: Any) -> Any:
    """Return texts with an apostrophe in front of those that a spreadsheet would calculate."""
    import pyarrow.compute as pc

    is_number = pc.match_substring_regex(texts, _NUMBER)
    is_formula = pc.and_not(pc.match_substring_regex(texts, _FORMULA), is_number)
    return pc.if_else(is_formula, pc.binary_join_element_wise("'", texts, ""), texts)


def _slices(batches: Iterator[Any]) -> Iterator[Any]:
    for table in batches:
        for start in range(0, table.num_rows, _ROWS):
            yield table.slice(start, _ROWS)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_timestamp(kind) or pa.types.is_string(kind))


def _csv_cells(values: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(values.type):
        values = pc.binary_join(values, SEPARATOR)
    if pa.types.is_string(values.type):
        return guarded(values)
    return _json_values(values)


def _json_values(values: Any) -> Any:
    """Return times as text in ISO 8601, and all else as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_timestamp(values.type):
        return values
    # Without the time zone: formatting with one needs a data base of time zones.
    text = values.cast(pa.timestamp("us")).cast(pa.string())
    return pc.binary_join_element_wise(pc.replace_substring(text, " ", "T"), "Z", "")
