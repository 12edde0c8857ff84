"""Read what another machine may replace at the same moment.

On NFS a reader that has found a file by its name, and opens it when another machine has just replaced it, gets
ESTALE. The same name leads to the new file a moment later.

Source: open(2) and nfs(5), ESTALE.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from llem_config.foreign_files import ForeignFileError, read_bytes

_N_TRIES, _PAUSE_S = 5, 0.05
_Value = TypeVar("_Value")


def read_file(path: Path, *, max_bytes: int) -> bytes:
    """Return the content of a regular file in a study's folder; no link is followed.

    Raises:
        ForeignFileError: it cannot be read, or has more than `max_bytes`.
    """
    return without_stale(lambda: read_bytes(path, max_bytes=max_bytes, follow_links=False))


def list_folder(folder: Path) -> list[Path]:
    """Return what is in a folder.

    Raises:
        OSError: it cannot be read.
    """
    return without_stale(lambda: list(folder.iterdir()))


def may_exist(path: Path) -> bool:
    """Return whether a name is in its folder; True if the system cannot tell, and reading it says why.

    To take such a file for a missing one could repeat runs, or overwrite it.
    """
    try:
        without_stale(path.lstat)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        return False
    except OSError:
        return True
    return True


def without_stale(read: Callable[[], _Value]) -> _Value:
    """Return what a function returns, and call it again while it meets a stale handle."""
    for _ in range(_N_TRIES - 1):
        try:
            return read()
        except (ForeignFileError, OSError) as error:
            cause = error.__cause__ if isinstance(error, ForeignFileError) else error
            if not isinstance(cause, OSError) or cause.errno != errno.ESTALE:
                raise
            time.sleep(_PAUSE_S)
    return read()
