"""Whether the study of a folder is running, on this machine or on others."""

from __future__ import annotations

from pathlib import Path

from llem_runner._storage import lock
from llem_runner._storage.attempts import read_attempts
from llem_runner._storage.divided_folder import DividedFolder


def is_running(folder: str | Path) -> bool:
    """Return whether a process is running the study of this folder now; takes no lock.

    If none is and the manifest has the status `running`, the process of the study was killed. A process
    on another machine counts as running until its files say that it has ended, or that another has
    begun a later attempt.

    Raises:
        StudyError: the lock file cannot be read, e.g. because the folder belongs to another user; or a
            file of a divided study is damaged.
    """
    divided = DividedFolder(Path(folder))
    if not divided.is_divided():
        return lock.is_running(folder)
    for shard in divided.read_plan().shards:
        attempts = read_attempts(divided, shard.number)
        if attempts and attempts[-1].is_alive is not False:
            return True
        if any(attempt.is_alive for attempt in attempts[:-1]):
            return True
    return False
