"""File locks: only one process at a time works in a study folder or on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from llem_runner._errors import StudyError, StudyLocked
from llem_runner._storage.layout import Layout


@contextlib.contextmanager
def hold(path: Path, locked: str) -> Iterator[None]:
    """Hold a lock file for the duration of the context.

    Args:
        path: the lock file.
        locked: what it protects, for messages, e.g. `GPU 0`.

    Raises:
        StudyLocked: another process holds the lock.
        StudyError: the lock file cannot be opened.
    """
    # No soft lock: its file would remain after its process was killed.
    lock = filelock.FileLock(path, timeout=0, mode=0o666, fallback_to_soft=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StudyLocked(
            f"{locked} is in use by another study (lock file {path}); wait until it ends"
        ) from error
    except OSError as error:
        raise StudyError(
            f"{locked} cannot be locked: lock file {path}: {error.strerror}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_running(folder: str | Path) -> bool:
    """Return whether a process is running the study of this folder now.

    If none is and the manifest has the status `running`, the process of the study was killed.

    Raises:
        StudyError: the lock file cannot be opened, e.g. because the folder belongs to another user.
    """
    lock = Layout(Path(folder)).lock
    if not lock.exists():  # a study creates it before anything else
        return False
    try:
        with hold(lock, str(folder)):
            return False
    except StudyLocked:
        return True
