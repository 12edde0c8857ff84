"""The log of a run: opening it, reading its first and last lines, and closing it.

The folder may be shared: no link is followed, and only regular files are opened.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

from llem_config.credentials import struck_out
from llem_runner._errors import StudyError
from llem_runner._executors.log_secrets import copy_struck_out, find_secrets
from llem_runner._storage.folders import create_scratch, open_folder, rename_to_old

_N_LINES = 5
_MAX_READ_BYTES, _MAX_CHARACTERS = 8000, 800
_MAX_LOG_BYTES = 64 * 2**20
_PRIVATE = 0o600
_KEPT_BYTES = 2**20  # of each end of a log that is larger


def open_log(log: Path) -> BinaryIO:
    """Open a log to append to it; it is created if it does not exist.

    Only the user can read it until `close_log`, because what a run prints may have passwords. A log of
    an earlier attempt is replaced by a copy, because others may have it open. One that is also a file
    elsewhere, by a hard link, is renamed to `.old`, and a new one begins.

    Raises:
        StudyError: it cannot be written, or is not a regular file, or its folder is a link.
    """
    try:
        with open_folder(log.parent) as folder:
            file = _continued(folder, log.name)
            if file is None:
                file = _open(
                    folder, log.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, "ab"
                )
        file.seek(0, os.SEEK_END)
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
        raise StudyError(f"{log} cannot be written: {reason}") from error
    return file


def _continued(folder: int, name: str) -> BinaryIO | None:
    """Return a private copy of an earlier log, without passwords; None if there is none."""
    with contextlib.ExitStack() as stack:
        try:
            old = stack.enter_context(_open(folder, name, os.O_RDONLY, "rb"))
        except FileNotFoundError:
            return None
        if os.fstat(old.fileno()).st_nlink > 1:
            rename_to_old(folder, name)
            return None
        _trim(folder, name)
        scratch, number = create_scratch(folder, _PRIVATE)
        try:
            file = os.fdopen(number, "wb")
            # Of a run that was killed together with this program, passwords were not struck out.
            copy_struck_out(old, file, 0)
            file.flush()
            fcntl.fcntl(number, fcntl.F_SETFL, os.O_APPEND)
            os.replace(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                os.unlink(scratch, dir_fd=folder)
            raise
    return file


def _open(folder: int, name: str, flags: int, mode: str) -> BinaryIO:
    """Open a regular file in an open folder.

    Raises:
        OSError: it cannot be opened, or is a link, a pipe or a device.
    """
    # Not blocking: else opening a named pipe would wait for its other end.
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    number = os.open(name, flags, _PRIVATE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return cast(BinaryIO, os.fdopen(number, mode))


def _open_to_read(log: Path) -> BinaryIO:
    with open_folder(log.parent) as folder:
        return _open(folder, log.name, os.O_RDONLY, "rb")


def last_lines(log: Path, start: int) -> str:
    """Return the last lines that were written to a log after its first `start` bytes."""
    try:
        with _open_to_read(log) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _MAX_READ_BYTES))
            lines = file.read(_MAX_READ_BYTES).decode(errors="replace").strip().splitlines()
    except (OSError, StudyError):
        return ""
    return struck_out("\n".join(line.rstrip() for line in lines[-_N_LINES:]))[-_MAX_CHARACTERS:]


def first_lines(log: Path, start: int) -> str:
    """Return the first lines after `start` bytes: a stack begins with the innermost call."""
    try:
        with _open_to_read(log) as file:
            file.seek(start)
            lines = file.read(_MAX_READ_BYTES).decode(errors="replace").strip().splitlines()
    except (OSError, StudyError):
        return ""
    return struck_out("\n".join(line.rstrip() for line in lines[:_N_LINES]))[:_MAX_CHARACTERS]


def close_log(log: Path, start: int) -> None:
    """Strike out the passwords in a log, cut the middle out of a very large one, and share it.

    The log of a library may repeat a variable of the environment; the logs of a study are shared. From
    now on the log has the permissions of any new file of the user.

    Args:
        log: the file, to which no process writes any more.
        start: size of the log in bytes when the run began; what is before it was struck out then.
    """
    # On a full disk the log stays as it is. A link or a pipe was refused when the log was opened.
    with contextlib.suppress(OSError, StudyError), open_folder(log.parent) as folder:
        # A log that is cut has other positions; then the whole of it is searched.
        is_cut = _trim(folder, log.name)
        _share(folder, log.name, 0 if is_cut else start)


def _trim(folder: int, name: str) -> bool:
    """Cut the middle out of a very large log; return whether it was one."""
    with _open(folder, name, os.O_RDWR, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size <= _MAX_LOG_BYTES or os.fstat(file.fileno()).st_nlink > 1:
            return False
        file.seek(size - _KEPT_BYTES)
        tail = file.read(_KEPT_BYTES)
        file.seek(_KEPT_BYTES)
        n_cut = size - 2 * _KEPT_BYTES
        file.write(f"\n[llem: {n_cut} bytes of this log were removed here]\n".encode() + tail)
        file.truncate()
    return True


def _share(folder: int, name: str, start: int) -> None:
    with _open(folder, name, os.O_RDONLY, "rb") as file:
        scratch, number = create_scratch(folder)
        try:
            with os.fdopen(number, "wb") as copy:
                mode = stat.S_IMODE(os.fstat(number).st_mode)
                has_secrets = find_secrets(file, start)
                if has_secrets:
                    copy_struck_out(file, copy, start)
            if has_secrets:
                os.replace(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
            else:
                os.fchmod(file.fileno(), mode)
                os.unlink(scratch, dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(scratch, dir_fd=folder)
            raise
