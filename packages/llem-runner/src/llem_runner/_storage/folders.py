"""Works in folders in which other people may write: no link is followed, no foreign file is changed.

A link in a study's folder may lead to any file of the user. So the folder of a run is opened
without following a link, and its files are opened, renamed and deleted relative to the open folder.
The study's own folder may be a link, because the user names it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from llem_runner._errors import StudyError

_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_TRIES = 10
_SCRATCH = re.compile(
    r"\.llem-[0-9a-f]{16}\.tmp"
    # The names of llem 0.1.
    r"|\.(study\.yaml|(study_resolved|manifest|study_result|result)\.json)\.[0-9]+\.tmp"
)


@contextlib.contextmanager
def open_folder(path: Path, *, follow_links: bool = False) -> Iterator[int]:
    """Open a folder, and give its descriptor.

    Args:
        path: of the folder; links in the folders above it are followed.
        follow_links: whether the name itself may be a link.

    Raises:
        StudyError: the name is a link, or no folder.
        OSError: it cannot be opened.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        number = os.open(path, flags if follow_links else flags | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and (problem := folder_problem(path)):
            raise StudyError(problem) from error
        raise
    try:
        yield number
    finally:
        os.close(number)


def folder_problem(path: Path) -> str | None:
    """Return why a name in a study's folder is not the folder of a run; None if it is one."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return None
    kind = "a link, which is not followed" if stat.S_ISLNK(mode) else "a file"
    return f"{path}: expected a folder, found {kind}; remove it or replace it by a folder"


def create_scratch(folder: int, mode: int = 0o666) -> tuple[str, int]:
    """Create a file with a random name in an open folder; return its name and its descriptor.

    Args:
        folder: descriptor of the folder.
        mode: its permissions, less those that the umask takes away.

    Raises:
        OSError: it cannot be created.
    """
    for _ in range(_MAX_TRIES):
        name = f".llem-{secrets.token_hex(8)}.tmp"
        with contextlib.suppress(FileExistsError):
            return name, os.open(name, os.O_WRONLY | _NEW, mode, dir_fd=folder)
    raise FileExistsError(errno.EEXIST, "all random names are taken")


def replace_file(folder: int, name: str, content: bytes) -> None:
    """Replace a file in an open folder, so that a reader sees the old one or the new one.

    Raises:
        OSError: it cannot be written; the old file is still intact, and nothing else is left.
    """
    scratch, number = create_scratch(folder)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            # Otherwise a power cut can leave an empty file under the new name.
            os.fsync(file.fileno())
        os.replace(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch, dir_fd=folder)
        raise
    sync_entries(folder)


def sync_entries(folder: int) -> None:
    """Flush the entries of an open folder to disk, as far as its file system can.

    Raises:
        OSError: they cannot be flushed.
    """
    try:
        os.fsync(folder)
    except OSError as error:  # some servers of NFS do not flush folders, and need not
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise


def rename_to_old(folder: int, name: str) -> None:
    """Rename a file of an open folder, if it is there, to the same name with `.old`.

    Raises:
        OSError: it cannot be renamed.
    """
    with contextlib.suppress(FileNotFoundError):
        os.rename(name, f"{name}.old", src_dir_fd=folder, dst_dir_fd=folder)


def remove_scratch_in(folder: int) -> None:
    """Delete the temporary files that a killed process left in an open folder.

    Raises:
        OSError: the folder cannot be read.
    """
    for name in os.listdir(folder):
        if _SCRATCH.fullmatch(name):
            # A folder with such a name stays: llem makes none.
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
