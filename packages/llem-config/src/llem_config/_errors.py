"""The faults of a study file, and the base class of every error that llem raises on purpose.

LlemError
  ConfigError            here: one or more mistakes in a file, a flag or a variable
  MeasurementError       llem_energy
  StudyError             llem_runner
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""The line breaks of YAML; the line numbers of faults count them."""

_WIDTH = 96  # of a quoted line, in characters


class LlemError(Exception):
    """Base class of every error that llem raises on purpose."""


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
        return ": ".join(part for part in (place, self.key, self.problem) if part)

    def quoted(self) -> str:
        """Return the plain form, the line of the file, and a caret under the column.

        The file is read again; if that fails, the result is the plain form.
        """
        if not self.line or isinstance(self.file, str):
            return str(self)
        try:
            text = self.file.read_bytes().decode("utf-8-sig", "replace")
        except OSError:
            return str(self)
        lines = LINE_BREAK.split(text)
        if self.line > len(lines):
            return str(self)
        line = lines[self.line - 1]
        first = max(0, self.column - 1 - _WIDTH // 2) if len(line) > _WIDTH else 0
        shown = "".join(_printable(char) for char in line[first : first + _WIDTH])
        before = shown[: max(0, self.column - 1 - first)]
        margin, head = f"{self.line} | ", "... " if first else ""
        indent = " " * (len(head) + sum(map(_columns, before)))
        tail = " ..." if len(line) > first + _WIDTH else ""
        return f"{self}\n  {margin}{head}{shown}{tail}\n  {' ' * (len(margin) - 2)}| {indent}^"


class ConfigError(LlemError):
    """A study, experiment or settings file has mistakes; `faults` contains all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)

    def pretty(self) -> str:
        """Return every fault with its line of the file, for a terminal; `str()` is the plain form."""
        return "\n".join(fault.quoted() for fault in self.faults)


def _printable(char: str) -> str:
    # Control characters in a file must not reach the terminal.
    return " " if char == "\t" else char if char.isprintable() else "\ufffd"


def _columns(char: str) -> int:
    """Return the width of a character in columns of a terminal."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
