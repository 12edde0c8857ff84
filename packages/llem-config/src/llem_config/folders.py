"""Whether a path is a folder, also where the user may not look or the name is not possible.

`Path.exists` and `Path.is_dir` raise an error in a folder of another user and for a very long name.
"""

from __future__ import annotations

import stat
from pathlib import Path

__all__ = ["NO_SUCH_FOLDER", "found_instead"]

NO_SUCH_FOLDER = "no such folder"


def found_instead(path: Path) -> str | None:
    """Return what a path is instead of a folder, for `expected a folder, found ...`.

    Returns:
        None for a folder; `NO_SUCH_FOLDER`, "a file", or why nothing is known.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return NO_SUCH_FOLDER
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return f"one that cannot be read: {reason}"
    return None if is_folder else "a file"
