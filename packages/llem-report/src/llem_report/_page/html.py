"""HTML from text: everything that comes from a study is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from llem_report._figures.scales import visible_text

MAX_COLUMNS = 40
"""The number of columns of a table that the style sheet aligns."""
_PERCENT = re.compile(r"(?<=\d) %")
_NUMBER = re.compile(r"[\N{MULTIPLICATION SIGN}+\N{MINUS SIGN}]?\d")


def alignment() -> str:
    """Return the style of columns of numbers: `n3` is a table whose third column has numbers."""
    columns = range(1, MAX_COLUMNS + 1)
    cells = ",".join(f".n{i} tr>:nth-child({i})" for i in columns)
    numbers = ",".join(f".n{i} td:nth-child({i})" for i in columns)
    return f"{cells}{{text-align:right}}{numbers}{{white-space:nowrap}}"


def text(value: object) -> str:
    """Return a value as text of HTML; control characters and changes of direction are shown."""
    return _PERCENT.sub("\N{NO-BREAK SPACE}%", escape(visible_text(str(value))))


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table."""

    shown: str
    """As text, not yet escaped. A column of numbers is sorted by the number that it begins with."""
    number: float | None = None
    """What a reader sorts by if the text begins with no number."""
    alarms: bool = False
    """Whether it needs attention."""


@dataclass(frozen=True, slots=True)
class Column:
    """The heading of a column."""

    heading: str
    is_number: bool = False


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, name: str, caption: str = ""
) -> str:
    """Return a table.

    It has no end tags that HTML makes optional, and the style sheet aligns whole columns: both
    together make it a third as large, and a large study has thousands of rows.
    """
    head = "".join(f"<th scope=col>{text(column.heading)}" for column in columns)
    body = "".join(
        "<tr>"
        + "".join(_cell(cell, column) for cell, column in zip(row, columns, strict=True))
        + "\n"
        for row in rows
    )
    numbers = "".join(f" n{i}" for i, column in enumerate(columns, 1) if column.is_number)
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    return (
        f'<div class=scroll tabindex=0 role=region aria-label="{text(caption or name)}">'
        f'<table id="{name}" class="data{numbers}">{title}<thead><tr>{head}</thead><tbody>\n{body}</tbody></table></div>'
    )


def _cell(cell: Cell, column: Column) -> str:
    attributes = " class=bad" if cell.alarms else ""
    if cell.number is not None and column.is_number and not _NUMBER.match(cell.shown):
        attributes += f" data-v={cell.number:.5g}"
    return f"<td{attributes}>{text(cell.shown)}"


def definitions(rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return names with their values, of which each has a line of its own."""
    items = "".join(
        f"<dt>{text(name)}</dt>" + "".join(f"<dd>{text(value)}</dd>" for value in values)
        for name, values in rows
        if values
    )
    return f"<dl>{items}</dl>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of sentences; nothing if there is none."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""
