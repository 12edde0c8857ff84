"""Reads JSON lines and CSV row by row, in bounded memory. A bad row does not end the reading."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from llem_energy._errors import DatasetError
from llem_energy._prompts.table import MAX_ROW_CHARACTERS, DataTable, Row, kind_of


def json_lines(path: Path) -> DataTable:
    """Return the table of a JSON lines file: one object per line."""
    return DataTable(str(path), None, None, lambda _: _json_rows(path))


def csv_table(path: Path) -> DataTable:
    """Return the table of a CSV file whose first line is the header.

    Raises:
        DatasetError: the header cannot be read.
    """
    with _opened(path) as file:
        lines = _Lines(file)
        try:
            header = _header(csv.reader(lines, strict=True))
        except csv.Error as error:
            raise DatasetError(f"{path}: line 1: damaged: {error}") from error
        if lines.problem:
            raise DatasetError(f"{path}: line 1: {lines.problem}")
    return DataTable(str(path), tuple(header), None, lambda _: _csv_rows(path, header))


class _Lines(Iterator[str]):
    """The lines of a text file, with the last problem of its encoding."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.number = 0
        self.problem: str | None = None

    def __next__(self) -> str:
        text = self._file.readline(MAX_ROW_CHARACTERS + 1)
        if not text:
            raise StopIteration
        self.number += 1
        if len(text) > MAX_ROW_CHARACTERS:
            raise csv.Error(f"line longer than {MAX_ROW_CHARACTERS} characters")
        if not text.isascii():
            self.problem = self.problem or _encoding_problem(text)
        return text


def _encoding_problem(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF  # as `surrogateescape` keeps it
        return f"expected UTF-8, found the byte 0x{byte:02X}; convert the file to UTF-8"
    return None


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a text file so that invalid bytes become surrogates, and with or without a BOM."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield file


def _json_rows(path: Path) -> Iterator[Row]:
    with _opened(path) as file:
        lines = _Lines(file)
        number = 0
        while True:
            lines.problem = None
            try:
                text = next(lines, None)
            except csv.Error as error:
                yield Row(number + 1, {}, lines.number, f"damaged: {error}", ends_reading=True)
                return
            if text is None:
                return
            if text.strip():
                number += 1
                yield _json_row(number, lines, text)


def _json_row(number: int, lines: _Lines, text: str) -> Row:
    problem = lines.problem
    if problem is None:
        try:
            value = json.loads(text, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            problem = f"damaged: expected one JSON object per line: {_json_reason(error)}"
        else:
            if isinstance(value, dict):
                repeated = getattr(value, "repeated", None)
                if repeated is None:
                    return Row(number, value, lines.number)
                problem = f"has the key {repeated!r} more than once"
            else:
                problem = f"expected a JSON object, found {kind_of(value)}"
    return Row(number, {}, lines.number, problem)


def _json_reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} at character {error.pos + 1}"
        case RecursionError():
            return "nested too deeply"
    return str(error)


class _RepeatedKeys(dict[str, object]):
    repeated: str


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return an object; one that has a key twice says so, because one value is lost."""
    cells = dict(pairs)
    if len(cells) == len(pairs):
        return cells
    names = [name for name, _ in pairs]
    repeating = _RepeatedKeys(cells)
    repeating.repeated = next(name for name in names if names.count(name) > 1)
    return repeating


def _csv_rows(path: Path, header: Sequence[str]) -> Iterator[Row]:
    with _opened(path) as file, _long_fields():
        lines = _Lines(file)
        reader = csv.reader(lines, strict=True)
        _header(reader)
        number = 0
        while True:
            lines.problem = None
            try:
                cells = next(reader, None)
            except csv.Error as error:
                number += 1
                problem, is_too_long = _csv_problem(str(error))
                yield Row(number, {}, lines.number, problem, ends_reading=is_too_long)
                continue
            if cells is None:
                return
            if cells:
                number += 1
                yield _csv_row(number, lines, header, cells)


def _csv_row(number: int, lines: _Lines, header: Sequence[str], cells: list[str]) -> Row:
    problem = lines.problem
    if problem is None and any(cells[len(header) :]):
        problem = (
            f"found {len(cells)} fields, expected {len(header)} as in the header; put a prompt "
            'that contains a comma in quotation marks (")'
        )
    values = {} if problem else dict(zip(header, cells, strict=False))
    return Row(number, values, lines.number, problem)


def _csv_problem(error: str) -> tuple[str, bool]:
    """Return an error of the CSV reader with advice, and whether the row was too long to end."""
    is_too_long = "limit" in error or "longer than" in error
    is_open = is_too_long or "unexpected end" in error
    advice = '; check that every quotation mark (") is closed' if is_open else ""
    return f"damaged: {error}{advice}", is_too_long


def _header(reader: Any) -> list[str]:
    return next((names for names in reader if names), [])


@contextmanager
def _long_fields() -> Iterator[None]:
    """Allow fields of more than 131,072 characters; the limit belongs to the whole process."""
    before = csv.field_size_limit()
    csv.field_size_limit(max(before, MAX_ROW_CHARACTERS))
    try:
        yield
    finally:
        csv.field_size_limit(before)


READERS: dict[str, Callable[[Path], DataTable]] = {".jsonl": json_lines, ".csv": csv_table}
