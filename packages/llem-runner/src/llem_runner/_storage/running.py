"""Whether the study of a folder is running, on this machine or on others."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from llem_runner._storage import lock
from llem_runner._storage.attempts import Attempt, read_attempts
from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.live_reading import find_run_folder


class UnseenProcess(msgspec.Struct, frozen=True):
    """The process of an attempt that has not ended, as far as its files say, on another machine."""

    shard: int
    attempt: int
    host: str
    pid: int
    sign_age_s: float | None
    """Seconds since it last wrote a file, by the clock of this machine and the time of the file; None if
    the files have none."""

    def __str__(self) -> str:
        """Return what is known of it, as a part of a sentence."""
        sign = ""
        if self.sign_age_s is not None:
            sign = f"; last sign of life {self.sign_age_s:.0f} s ago"
        return f"process {self.pid} on {self.host} cannot be seen from this machine{sign}"


def is_running(folder: str | Path) -> bool | None:
    """Return whether a process is running the study of this folder now; takes no lock.

    If none is and the manifest has the status `running`, the process of the study was killed. None: the
    files of an attempt do not say that it has ended, and its process is on another machine, or in a
    container, so that it cannot be seen from here. `unseen_processes` has its last sign of life.

    Raises:
        StudyError: the lock file cannot be read, e.g. because the folder belongs to another user; or a
            file of a divided study is damaged.
    """
    divided = DividedFolder(Path(folder))
    if not divided.is_divided():
        return lock.is_running(folder)
    is_unseen = False
    for _, attempts in _attempts(divided):
        if any(attempt.is_alive for attempt in attempts):
            return True
        is_unseen = is_unseen or _is_unseen(attempts)
    return None if is_unseen else False


def unseen_processes(folder: str | Path) -> tuple[UnseenProcess, ...]:
    """Return the processes that may be running a study where they cannot be seen, newest sign first.

    An attempt after which another has begun is not among them: it ends by itself, and its results are
    valid.

    Raises:
        StudyError: a file of a divided study is damaged.
    """
    divided = DividedFolder(Path(folder))
    if not divided.is_divided():
        return ()
    found = [
        unseen_process(shard, attempts[-1])
        for shard, attempts in _attempts(divided)
        if _is_unseen(attempts)
    ]
    return tuple(sorted(found, key=lambda each: (each.sign_age_s is None, each.sign_age_s or 0.0)))


def unseen_process(shard: int, attempt: Attempt) -> UnseenProcess:
    """Return what is known of the process of an attempt that cannot be seen; it must have a record."""
    assert attempt.record is not None
    process = attempt.record.process
    return UnseenProcess(
        shard, attempt.folder.number, process.host, process.pid, _sign_age_s(attempt)
    )


def _attempts(divided: DividedFolder) -> Iterator[tuple[int, list[Attempt]]]:
    for shard in divided.read_plan().shards:
        yield shard.number, read_attempts(divided, shard.number)


def _is_unseen(attempts: list[Attempt]) -> bool:
    return bool(attempts) and attempts[-1].is_alive is None


def _sign_age_s(attempt: Attempt) -> float | None:
    """Return how long ago the process of an attempt wrote a file; a run writes each second."""
    folders = [attempt.folder.path]
    for entry in attempt.manifest.entries if attempt.manifest is not None else ():
        if entry.status == "running" and (found := find_run_folder(attempt.folder.path, entry)):
            folders.append(found)
    times = [time_s for folder in folders for time_s in _times_s(folder)]
    # The clocks of two machines differ, so a file may be written in the future.
    return max(0.0, time.time() - max(times)) if times else None


def _times_s(folder: Path) -> Iterator[float]:
    """Yield when the files of a folder were written, in Unix time; no link is followed."""
    with contextlib.suppress(OSError), os.scandir(folder) as names:
        for each in names:
            if each.is_file(follow_symlinks=False):
                yield each.stat(follow_symlinks=False).st_mtime
