"""A data set as a table: its columns, and its rows one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

MAX_ROW_CHARACTERS = 2**26
"""Of one row of a text file: a prompt of 10 million tokens and more. It bounds the memory."""


class Row(msgspec.Struct, frozen=True):
    """One row of a data set."""

    number: int
    """Counted from 1, without the header and without blank lines."""
    cells: Mapping[str, object]
    """Values by column; empty if the row has a problem."""
    line: int | None = None
    """The last line of the row in a text file, counted from 1."""
    problem: str | None = None
    """Why the row cannot be read."""
    ends_reading: bool = False
    """Whether the rows after it cannot be found, because of its problem."""

    @property
    def place(self) -> str:
        """The row as a person finds it in the file."""
        return f"row {self.number}" + ("" if self.line is None else f" (line {self.line})")


class DataTable(msgspec.Struct, frozen=True):
    """A data set that was opened."""

    where: str
    """The file or the name of the data set, for messages."""
    columns: tuple[str, ...] | None
    """All columns; None if each row has columns of its own."""
    n_rows: int | None
    """None if only reading shows it."""
    rows: Callable[[Sequence[str]], Iterator[Row]]
    """Reads the rows. Given columns, the cells of other columns may be left out."""
    locate: Callable[[int], str | None] | None = None
    """Returns where a row is in one of several files; None if that is not known."""

    def place(self, row: Row) -> str:
        """Return a row as a person finds it."""
        in_file = self.locate(row.number) if self.locate is not None else None
        return row.place + ("" if in_file is None else f" ({in_file})")


def kind_of(value: object) -> str:
    """Return what a value of a row is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case bytes():
            return "bytes"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
    return f"a value of type {type(value).__name__}"


def text_problem(text: str) -> str | None:
    """Return why a text cannot be a prompt, or a message of one; None if it can."""
    if not text:
        return "the prompt is empty; remove the row"
    if text.isspace():
        return "the prompt is only white space; remove the row"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            return (
                f"expected Unicode text, found a lone surrogate (\\u{code:04x}) at character "
                f"{error.start + 1} of the prompt; remove it"
            )
    return None
