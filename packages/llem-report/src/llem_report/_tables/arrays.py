"""Values of Python as Arrow arrays of a column's type; what does not fit is null."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from llem_config.text import shortened, visible
from llem_report._tables.columns import Column, arrow_type

MAX_TEXT = 32_000
"""Characters of a text; a cell of a spreadsheet has at most 32,767."""
_MAX_TEXTS = 1000
_MAX_INTEGER = 2**63 - 1


def array_of(column: Column, values: Iterable[Any]) -> Any:
    """Return the values of a column as an Arrow array.

    Args:
        column: whose type the array has.
        values: None, or a value of that type; a time is text in ISO 8601. A value of another type,
            a number that is not finite, and a time that is no date are null.
    """
    import pyarrow as pa

    clean = _CLEAN[column.type]
    return pa.array([clean(value) for value in values], type=arrow_type(column.type))


def clean_text(value: object) -> str | None:
    """Return a text whose characters are all seen, line feeds apart; None if it is no text."""
    return visible(shortened(value, MAX_TEXT)) if isinstance(value, str) else None


def clean_time(value: object) -> datetime | None:
    """Return a time in UTC; None if the text is no date and time with an offset."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
        return None if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _clean_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 300 digits
        return None
    return number if math.isfinite(number) else None


def _clean_integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) <= _MAX_INTEGER else None


def _clean_boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _clean_texts(value: object) -> list[str] | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    texts = (clean_text(text) for text in value[:_MAX_TEXTS])
    return [text for text in texts if text is not None]


_CLEAN: dict[str, Callable[[object], object]] = {
    "integer": _clean_integer,
    "number": _clean_number,
    "boolean": _clean_boolean,
    "text": clean_text,
    "texts": _clean_texts,
    "time": clean_time,
}
