"""One process at a time in a study folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from llem_runner._errors import StudyError, StudyLocked
from llem_runner._storage.layout import Layout


@contextlib.contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file while the context lasts.

    Raises:
        StudyLocked: another process holds it.
    """
    # Never a plain file as a lock, which would outlast a killed process.
    lock = filelock.FileLock(path, timeout=0, mode=0o666, fallback_to_soft=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise StudyLocked(f"{what} is in use by another study (lock file {path})") from error
    except OSError as error:
        raise StudyError(f"{what} cannot be locked: {path}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def is_running(folder: str | Path) -> bool:
    """Tell whether a process is running the study of this folder now.

    A manifest that says `running` without one was left by a process that was killed.

    Raises:
        StudyError: the lock cannot be asked, e.g. in somebody else's folder.
    """
    lock = Layout(Path(folder)).lock
    if not lock.exists():  # whoever runs a study makes it first
        return False
    try:
        with hold(lock, str(folder)):
            return False
    except StudyLocked:
        return True
