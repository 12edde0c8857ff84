"""Where results and messages are written: streams that no library and no encoding can spoil.

Results go to stdout. Libraries and packages of other people print there too, also when they are
imported, and would make JSON invalid. So the program keeps stdout for itself: what anything else
prints goes to stderr.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import sys
from typing import Any, Literal, TextIO

_ASCII = {"±": "+/-", "…": "...", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"'}  # noqa: RUF001
"""What to print for our own characters where the encoding of the terminal lacks them."""
_HANDLER = "llem_replace"
_MIN_WIDTH = 20  # columns; a terminal may report 0 or 1, in which every letter would be a line
_results: TextIO | None = None


class OutputError(OSError):
    """Results cannot be written to stdout, e.g. because its disk is full."""


class _ResultsFile(io.FileIO):
    """A file whose errors can be distinguished from those of all other files."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from error


def results() -> TextIO:
    """Return the stream of the results."""
    return sys.stdout if _results is None else _results


def terminal_width(stream: TextIO) -> int:
    """Return the columns of the terminal of a stream; `COLUMNS` overrides what it reports."""
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if re.fullmatch(r"[0-9]{1,5}", columns) else 0
    if width == 0:
        with contextlib.suppress(OSError, ValueError):  # no terminal
            width = os.get_terminal_size(stream.fileno()).columns
    return max(_MIN_WIDTH, width or 80)


def color_system() -> Literal["auto"] | None:
    """Return how rich chooses styles; None for no style at all if `NO_COLOR` is set.

    Otherwise, rich would leave out colours and keep bold, whose escape codes a program that reads
    the text does not expect either.
    """
    return None if os.environ.get("NO_COLOR") else "auto"


def claim_stdout() -> TextIO:
    """Keep stdout for results, and return it; what others print goes to stderr from now on.

    Only for the program: it changes the descriptors and streams of the whole process.
    """
    global _results
    codecs.register_error(_HANDLER, _replaced)
    for stream in (sys.stdout, sys.stderr):
        # Without this, a name that is not ASCII would end a study whose terminal is.
        stream.reconfigure(errors=_HANDLER)  # type: ignore[union-attr]
    try:
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)  # also for native code and for child processes
    except OSError:  # a closed stream
        return sys.stdout
    encoding = sys.stdout.encoding
    buffer = io.BufferedWriter(_ResultsFile(kept, "w"))
    _results = io.TextIOWrapper(buffer, encoding=encoding, errors=_HANDLER)
    if _results.isatty():
        _results.reconfigure(line_buffering=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return _results


def discard_results() -> None:
    """Write no more results, because stdout cannot be written or its reader has closed it."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        # What is left in the buffer is written at the exit of Python, and would fail again.
        os.dup2(null, results().fileno())
        os.close(null)


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what to write for characters that the encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    if all(char in _ASCII for char in wrong):
        return "".join(_ASCII[char] for char in wrong), error.end
    char = wrong[0]
    if char in _ASCII:
        return _ASCII[char], error.start + 1
    escaped = char.encode("ascii", "backslashreplace").decode("ascii")
    return escaped, error.start + 1
