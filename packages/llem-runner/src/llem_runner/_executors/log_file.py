"""The log of a run: creating it, reading its first and last lines, keeping it small."""

from __future__ import annotations

import os
from pathlib import Path

from llem_runner._errors import StudyError

_N_LINES = 5
_MAX_READ_BYTES, _MAX_CHARACTERS = 8000, 800
_MAX_LOG_BYTES = 64 * 2**20
_KEPT_BYTES = 2**20  # of each end of a log that is larger


def create_log(log: Path) -> int:
    """Create a log if it does not exist, and return its size in bytes.

    Raises:
        StudyError: it cannot be written.
    """
    try:
        with log.open("ab") as file:
            return file.tell()
    except OSError as error:
        raise StudyError(f"{log} cannot be written: {error.strerror}") from error


def last_lines(log: Path, start: int) -> str:
    """Return the last lines that were written to a log after its first `start` bytes."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _MAX_READ_BYTES))
            lines = file.read(_MAX_READ_BYTES).decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "\n".join(line.rstrip() for line in lines[-_N_LINES:])[-_MAX_CHARACTERS:]


def first_lines(log: Path, start: int) -> str:
    """Return the first lines after `start` bytes: a stack begins with the innermost call."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            lines = file.read(_MAX_READ_BYTES).decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "\n".join(line.rstrip() for line in lines[:_N_LINES])[:_MAX_CHARACTERS]


def trim(log: Path) -> None:
    """Cut the middle out of a very large log, so that the logs of a study fit on a disk."""
    try:
        size = log.stat().st_size
        if size <= _MAX_LOG_BYTES:
            return
        with log.open("r+b") as file:
            file.seek(size - _KEPT_BYTES)
            tail = file.read(_KEPT_BYTES)
            file.seek(_KEPT_BYTES)
            n_cut = size - 2 * _KEPT_BYTES
            file.write(f"\n[llem: {n_cut} bytes of this log were removed here]\n".encode() + tail)
            file.truncate()
    except OSError:  # on a full disk the log stays as it is
        return
