"""Digests of files on disk, which save reading a model of 140 GB again for every study.

They are in one JSON file in the user's cache folder. It is not an error if the file is missing,
damaged, of another version or not writable: the files are then read again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from llem_config.foreign_files import ForeignFileError, read_bytes, replace_file

_FORMAT = 1
_MAX_BYTES = 2**26
_MAX_ENTRIES = 20_000


class FileState(NamedTuple):
    """What identifies the content of a file without reading it.

    Writing to a file changes its times, and a program cannot set `ctime_ns`.
    """

    device: int
    inode: int
    n_bytes: int
    mtime_ns: int
    ctime_ns: int


class _Cache(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    schema_version: int
    digests: tuple[tuple[FileState, str], ...]
    """Oldest first."""


def load_digests(path: Path) -> dict[FileState, str]:
    """Return the SHA-256 of every known content; {} if there is no valid cache."""
    try:
        content = read_bytes(path, max_bytes=_MAX_BYTES)
        cache = msgspec.json.decode(content, type=_Cache)
    except (ForeignFileError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return dict(cache.digests) if cache.schema_version == _FORMAT else {}


def save_digests(path: Path, digests: Mapping[FileState, str]) -> None:
    """Add digests to a cache file.

    If two processes write at once, the entries of one may be lost, and its files are read again.
    """
    entries = tuple((load_digests(path) | dict(digests)).items())[-_MAX_ENTRIES:]
    data = msgspec.json.encode(_Cache(schema_version=_FORMAT, digests=entries))
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.is_file():  # else e.g. /dev/null
            replace_file(path, data)
