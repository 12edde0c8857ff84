"""The log of a run: its first and last lines, and keeping it small."""

from __future__ import annotations

import os
from pathlib import Path

TAIL_LINES = 5


_TAIL_BYTES, _TAIL_CHARACTERS = 8000, 800


_LARGEST_LOG_BYTES = 64 * 2**20


_KEPT_BYTES = 2**20  # of each end of a log that is larger


def last_lines(log: Path, start: int) -> str:
    """Return the last lines that were written to a log from `start` bytes on, however long it is."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "\n".join(line.rstrip() for line in lines[-TAIL_LINES:])[-_TAIL_CHARACTERS:]


def first_lines(log: Path, start: int) -> str:
    """Return the first lines from `start` bytes on: where a stack says what was called last."""
    try:
        with log.open("rb") as file:
            file.seek(start)
            lines = file.read(_TAIL_BYTES).decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "\n".join(line.rstrip() for line in lines[:TAIL_LINES])[:_TAIL_CHARACTERS]


def trim(log: Path) -> None:
    """Take the middle out of a log of a gigabyte; a study of hundreds must fit on a disk."""
    try:
        size = log.stat().st_size
        if size <= _LARGEST_LOG_BYTES:
            return
        with log.open("r+b") as file:
            file.seek(size - _KEPT_BYTES)
            tail = file.read(_KEPT_BYTES)
            file.seek(_KEPT_BYTES)
            cut = size - 2 * _KEPT_BYTES
            file.write(f"\n[llem: {cut} bytes of this log were taken out here]\n".encode() + tail)
            file.truncate()
    except OSError:  # on a full disk the log stays as it is
        return
