"""The faults of a study file, each at its place, and the error that has all of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llem_config._errors import LlemError
from llem_config.credentials import places_of_credentials, struck_out
from llem_config.foreign_files import ForeignFileError, read_bytes
from llem_config.text import one_line, visible

MAX_BYTES = 8_000_000
"""Of a study file."""
MAX_FAULTS = 100
"""Faults of one error; more are only counted, because a person corrects the first ones first."""
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""The line breaks of YAML; the line numbers of faults count them."""

_WIDTH = 96  # of a quoted line, in characters
_MAX_KEY = 200  # characters


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a study file, at the place where a person must edit it."""

    file: Path | str
    """The file, or a label such as "<command line>" if the source is no file."""
    line: int
    """1-based; 0 if the source has no lines."""
    column: int
    """1-based; 0 if the source has no lines."""
    key: str
    """As written, e.g. "sweep.pytorch.batch_size[2]"; empty for the file as a whole."""
    problem: str
    """What was expected, what was found, and what to do."""

    def __str__(self) -> str:
        """Return `file:line:column: key: problem`, which many editors show as a link."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else f"{self.file}"
        parts = (place, one_line(self.key, _MAX_KEY), self.problem)
        return one_line(struck_out(": ".join(part for part in parts if part)))

    def quoted(self, lines: Sequence[str]) -> str:
        """Return the plain form, the line of the file, and a caret under the column.

        Args:
            lines: of the file; without the line of this fault, the result is the plain form.
        """
        if not 0 < self.line <= len(lines):
            return str(self)
        line = lines[self.line - 1]
        starts = [start for start, _ in places_of_credentials(line)]
        if starts:  # of the same length, so that the caret fits
            line = line[: min(starts)] + re.sub(r"\S", "*", line[min(starts) :])
        first = max(0, self.column - 1 - _WIDTH // 2) if len(line) > _WIDTH else 0
        shown = "".join(_printable(char) for char in line[first : first + _WIDTH])
        before = shown[: max(0, self.column - 1 - first)]
        margin, head = f"{self.line} | ", "... " if first else ""
        indent = " " * (len(head) + sum(map(_columns, before)))
        tail = " ..." if len(line) > first + _WIDTH else ""
        return f"{self}\n  {margin}{head}{shown}{tail}\n  {' ' * (len(margin) - 2)}| {indent}^"


class ConfigError(LlemError):
    """A study, experiment or settings file has mistakes.

    Attributes:
        faults: the mistakes, at most `MAX_FAULTS`.
        n_more: number of further mistakes.
    """

    def __init__(self, faults: Sequence[Fault], n_more: int = 0) -> None:
        self.faults = tuple(faults[:MAX_FAULTS])
        self.n_more = n_more + len(faults) - len(self.faults)
        super().__init__("\n".join((*map(str, self.faults), *self._rest())))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Fault, ...], int]]:
        """Return how to make a copy, e.g. in another process."""
        return ConfigError, (self.faults, self.n_more)

    def pretty(self) -> str:
        """Return every fault with its line of the file, for a terminal; `str()` is the plain form.

        The files are read again; a fault whose file cannot be read has the plain form.
        """
        files = {fault.file for fault in self.faults if fault.line}
        lines = {file: _lines(file) for file in files}
        quoted = [fault.quoted(lines.get(fault.file, ())) for fault in self.faults]
        return "\n".join((*quoted, *self._rest()))

    def _rest(self) -> list[str]:
        mistakes = "mistake" if self.n_more == 1 else "mistakes"
        return [f"and {self.n_more} more {mistakes}"] if self.n_more else []


def _lines(file: Path | str) -> list[str]:
    if isinstance(file, str):
        return []
    try:
        content = read_bytes(file, max_bytes=MAX_BYTES)
    except ForeignFileError:
        return []
    return LINE_BREAK.split(content.decode("utf-8-sig", "replace"))


def _printable(char: str) -> str:
    # One column for each character, so that the caret is below its column.
    return " " if char == "\t" else char if visible(char) == char else "\ufffd"


def _columns(char: str) -> int:
    """Return the width of a character in columns of a terminal."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
