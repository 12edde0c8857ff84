"""New files that get their names when all of them are complete."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from llem_report._errors import ArgumentError, ReportError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PendingFiles:
    """Writes files under temporary names in their folder; on an error, none of them remains."""

    def __init__(self, *, force: bool) -> None:
        """Replace existing files only with `force`."""
        self._force = force
        self._scratch: dict[Path, Path] = {}

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Delete the files that did not get their names."""
        for scratch in self._scratch.values():
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)

    @contextlib.contextmanager
    def create(self, path: Path) -> Iterator[BinaryIO]:
        """Open a file that will be called `path`.

        Raises:
            ReportError: it exists, its folder does not exist, or the disk is full.
        """
        refuse_existing(path, force=self._force)
        scratch = path.with_name(f".llem-{secrets.token_hex(8)}.tmp")
        with _explained(path), os.fdopen(_open(scratch), "wb") as file:
            self._scratch[path] = scratch
            yield file
            file.flush()
            os.fsync(file.fileno())  # otherwise a power cut can leave the name without content

    def written(self, path: Path) -> Path:
        """Return where the content of a file is, until it gets its name."""
        return self._scratch[path]

    def publish(self) -> None:
        """Give all files their names.

        Raises:
            ReportError: a file of that name was made meanwhile, or the folder is gone.
        """
        for path in self._scratch:
            refuse_existing(path, force=self._force)
        for path, scratch in list(self._scratch.items()):
            with _explained(path):
                scratch.replace(path)
            del self._scratch[path]


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raise ReportError if a file exists that may not be replaced."""
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise ArgumentError(
            f"{path}: expected the name of a file, found a folder; use another name"
        )
    if not force:
        raise ReportError(f"{path} exists; use another name, or --force to replace it")
    if not path.is_symlink() and not path.is_file():
        raise ReportError(f"{path}: expected a regular file, found a pipe or a device")


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(f"{path} cannot be written: {reason}; nothing was written") from error


def _open(scratch: Path) -> int:
    try:
        return os.open(scratch, _NEW, 0o666)
    except ValueError as error:  # a NUL in the path
        raise OSError(str(error)) from error
