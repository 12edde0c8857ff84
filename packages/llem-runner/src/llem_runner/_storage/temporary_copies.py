"""Copies of packed files in the folder for temporary files; an error there is no damage of a pack."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from llem_runner._errors import TemporaryFolderError
from llem_runner._storage.atomic_files import reason_of
from llem_runner._storage.pack_reading import Writable

_IN_MEMORY_BYTES = 2**24
"""A larger file is copied to the disk."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def temporary_copy(path: Path, copy: Callable[[Writable], object]) -> BinaryIO:
    """Return a file without a name, at its beginning.

    Args:
        path: of what is copied, for the message.
        copy: writes the content.

    Raises:
        TemporaryFolderError: it cannot be written.
    """
    target = _Target(path, _new_file())
    try:
        copy(target)
        target.rewind()
    except BaseException:
        with contextlib.suppress(OSError):  # closing writes what is left in the buffer
            target.file.close()
        raise
    return target.file


class _Target:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self.file = file

    def write(self, content: bytes, /) -> object:
        """Write the next bytes."""
        try:
            return self.file.write(content)
        except OSError as error:
            raise _error(self._path, error) from error

    def rewind(self) -> None:
        """Write what is in the buffer, and go to the beginning."""
        try:
            self.file.seek(0)
        except OSError as error:
            raise _error(self._path, error) from error


def _new_file() -> BinaryIO:
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES))


def _error(path: Path, error: OSError) -> TemporaryFolderError:
    folder = tempfile.tempdir or os.environ.get("TMPDIR", "/tmp")
    problem = "is full" if error.errno in _FULL else "cannot be used"
    return TemporaryFolderError(
        f"the folder for temporary files, {folder}, {problem}: {reason_of(error)}; {path} is packed and is "
        "copied there to be read, so set TMPDIR to a folder with enough space"
    )
