"""Lock files: taken by those who can write them only, looked at without being taken.

On Linux these are locks of open file descriptions. Unlike `flock`, they need write access, so
another user cannot hold the lock of a file that he can only read; and whether one is held can be
asked without taking it. The system releases them when their process ends, for whatever reason.

Source: fcntl(2), "Open file description locks".
"""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
import struct
from datetime import UTC, datetime
from pathlib import Path

import msgspec

_FLOCK = struct.Struct("@hhqqi0q")  # struct flock: type, origin, start, length, process
_HAS_FILE_LOCKS = hasattr(fcntl, "F_OFD_SETLK")
_MAX_BYTES = 4096
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # no link, and no wait for a named pipe


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock, as written in its file."""

    pid: int
    since: str
    """UTC."""
    study: str
    """Name of the study, and the working directory of its process."""
    gpu: str | None = None
    """UUID of the GPU that is locked; None for a folder."""


def encode_holder(study: str, gpu: str | None = None) -> bytes:
    """Return this process as the content of a lock file."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return msgspec.json.encode(Holder(os.getpid(), since, study[:1000], gpu))


def open_lock(path: Path, flags: int) -> int:
    """Open a lock file and return its descriptor.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    number = os.open(path, flags | _FLAGS, 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(0, "it is not a regular file")
    return number


def take_lock(number: int) -> bool:
    """Lock an open file, which must be writable; return whether no other process has it locked.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if _HAS_FILE_LOCKS:
            fcntl.fcntl(number, fcntl.F_OFD_SETLK, _request(fcntl.F_WRLCK))
        else:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_locked(number: int) -> bool:
    """Return whether another open file description has the lock of a file."""
    if _HAS_FILE_LOCKS:
        answer = fcntl.fcntl(number, fcntl.F_OFD_GETLK, _request(fcntl.F_RDLCK))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(number, fcntl.LOCK_UN)
    return False


def read_holder(number: int) -> Holder | None:
    """Return who holds the lock of an open file, as far as the file says so."""
    try:
        return msgspec.json.decode(os.pread(number, _MAX_BYTES, 0), type=Holder)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None


def describe(number: int) -> str:
    """Return the holder of a lock in words: the user is the owner of the file."""
    uid = os.fstat(number).st_uid
    try:
        user = f"user {pwd.getpwuid(uid).pw_name}"
    except (KeyError, OSError):
        user = f"user {uid}"
    holder = read_holder(number)
    if holder is None:
        return user
    return f"{user}, process {holder.pid}, since {holder.since!a}, study {holder.study!a}"


def _request(kind: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
