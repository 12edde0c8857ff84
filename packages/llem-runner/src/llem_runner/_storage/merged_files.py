"""Puts the files of completed runs into the folder of a merged study, as hard links or as copies.

Readers follow no symbolic link in a study's folder, because another person may have made it. A hard
link is a regular file, needs no space, and stays valid if the first folder is moved or deleted.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from llem_runner._errors import StudyError
from llem_runner._storage.folders import open_folder
from llem_runner._storage.layout import LOG, REQUESTS, RESULT, TIMESERIES

MAX_FILE_BYTES = 2**36
"""Of a file that is copied: ten times the samples of eight devices over a week."""
_NEEDS_COPY = {
    errno.EXDEV: "is on another file system",
    errno.EPERM: "belongs to another user, or its file system has no hard links",
    errno.EOPNOTSUPP: "is on a file system without hard links",
    errno.EMLINK: "has too many hard links",
}

_Transfer = Callable[[str, int, int], None]


def transfer_run(source: Path, target: Path, *, copy: bool) -> list[str]:
    """Put the files of a completed run into a new folder; no link is followed.

    Args:
        source: folder of the run.
        target: the folder to make.
        copy: whether the files are copied; otherwise they are hard links.

    Returns:
        A sentence for each file that is left out, because it is no regular file or too large.

    Raises:
        StudyError: a file cannot be linked or written.
    """
    problems = []
    transfer: _Transfer = _copy if copy else _link
    try:
        with open_folder(source) as old:
            target.mkdir()
            with open_folder(target) as new:
                for name in (RESULT, TIMESERIES, REQUESTS, LOG):
                    if problem := _transferred(name, old, new, transfer):
                        problems.append(f"{source / name} is left out: {problem}")
    except OSError as error:
        if not copy and error.errno in _NEEDS_COPY:
            raise StudyError(
                f"{source} {_NEEDS_COPY[error.errno]}, so its files cannot be linked; use --copy"
            ) from error
        raise StudyError(f"{source}: its files cannot be merged: {error.strerror}") from error
    return problems


def _transferred(name: str, old: int, new: int, transfer: _Transfer) -> str | None:
    """Transfer a file between two open folders; return why it is left out, if it is."""
    try:
        status = os.stat(name, dir_fd=old, follow_symlinks=False)
    except FileNotFoundError:  # a run without samples
        return None
    if problem := _problem(status):
        return problem
    transfer(name, old, new)
    # Another user may have replaced the file in the meantime.
    problem = _problem(os.stat(name, dir_fd=new, follow_symlinks=False))
    if problem:
        os.unlink(name, dir_fd=new)
    return problem


def _problem(status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a link" if stat.S_ISLNK(status.st_mode) else "none"
        return f"expected a regular file, found {kind}"
    if status.st_size > MAX_FILE_BYTES:
        return f"expected at most {MAX_FILE_BYTES:,} bytes, found {status.st_size:,}"
    return None


def _link(name: str, old: int, new: int) -> None:
    os.link(name, name, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)


def _copy(name: str, old: int, new: int) -> None:
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=old), "rb") as source:
        status = os.fstat(source.fileno())
        if problem := _problem(status):
            raise OSError(errno.EINVAL, problem)
        # A log that is private stays private.
        mode = stat.S_IMODE(status.st_mode) & 0o666
        created = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, created, mode, dir_fd=new), "wb") as target:
            shutil.copyfileobj(source, target)
