"""The lock of a study's folder: only one process at a time works there."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from llem_runner._errors import StudyError, StudyLocked
from llem_runner._storage.layout import Layout
from llem_runner._storage.lock_file import (
    describe,
    encode_holder,
    is_locked,
    open_lock,
    take_lock,
)

_MAX_TRIES = 10
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_ON_A_LOCAL_DISK = (
    "use a folder on a local disk, or divide the study by `study submit`: its shards need no lock"
)


@contextlib.contextmanager
def hold(
    path: Path,
    locked: str,
    *,
    is_required: bool = True,
    in_use: str | None = None,
    without_locks: str = _ON_A_LOCAL_DISK,
) -> Iterator[None]:
    """Hold a lock file for the duration of the context.

    Args:
        path: the lock file; it gets the permissions of any new file of the user.
        locked: what it protects, for messages, e.g. the folder of a study.
        is_required: whether a file system without locks is an error; else nothing is held there.
        in_use: what another process does that holds the lock, for its message; None: it runs a study.
        without_locks: what to do on a file system without locks, for its message.

    Raises:
        StudyLocked: another process holds the lock; the message says who.
        StudyError: the lock file cannot be opened.
    """
    number: int | None
    try:
        number = _take(path, in_use or f"{locked} is in use by another process of llem")
    except OSError as error:
        if error.errno in _NO_LOCKS and not is_required:
            number = None
        elif error.errno in _NO_LOCKS:
            raise StudyError(
                f"{locked} cannot be locked, because its file system has no locks ({error.strerror}); "
                f"{without_locks}"
            ) from error
        else:
            raise StudyError(
                f"{locked} cannot be locked: lock file {path}: {error.strerror}. Make the folder "
                "writable, or copy it to a folder of your own"
            ) from error
    if number is None:
        yield
        return
    try:
        if os.fstat(number).st_nlink > 1:  # writing to it would change the other file too
            raise StudyError(
                f"{path}: expected a lock file of its own, found a hard link to another file; "
                "delete this link"
            )
        # Only for messages: on a full disk the lock works without it.
        with contextlib.suppress(OSError):
            os.ftruncate(number, 0)
            os.pwrite(number, encode_holder(f"{path.absolute().parent}"), 0)
        yield
    finally:
        if os.fstat(number).st_nlink <= 1:
            with contextlib.suppress(OSError):
                os.ftruncate(number, 0)
        os.close(number)


def is_running(folder: str | Path) -> bool:
    """Return whether a process is running the study of this folder now; takes no lock.

    If none is and the manifest has the status `running`, the process of the study was killed.

    Raises:
        StudyError: the lock file cannot be read, e.g. because the folder belongs to another user.
    """
    path = Layout(Path(folder)).lock
    try:
        number = open_lock(path, os.O_RDONLY)
    except FileNotFoundError:  # a study creates it before anything else
        return False
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return is_locked(number)
    finally:
        os.close(number)


def _take(path: Path, in_use: str) -> int:
    """Return the descriptor of the locked file."""
    for _ in range(_MAX_TRIES):
        try:
            number = _open(path, in_use)
        except FileExistsError:  # made by another process just now
            continue
        if not take_lock(number):
            who = describe(number)
            os.close(number)
            raise StudyLocked(f"{in_use} ({who}); wait until it ends")
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(number), os.lstat(path)):
                return number
        os.close(number)  # it was replaced between the two steps
    raise StudyLocked(f"{path.parent} is in use by other processes; try again")


def _open(path: Path, in_use: str) -> int:
    try:
        return open_lock(path, os.O_RDWR)
    except FileNotFoundError:
        return open_lock(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except PermissionError:
        # The file of another user, in a folder where both may write: it is replaced if it is free.
        number = open_lock(path, os.O_RDONLY)
        try:
            if is_locked(number):
                who = describe(number)
                raise StudyLocked(f"{in_use} ({who}); wait until it ends") from None
        finally:
            os.close(number)
        path.unlink()
        return open_lock(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
