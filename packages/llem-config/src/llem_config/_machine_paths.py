"""Where this machine keeps llem's settings and calibrations."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import tempfile
from pathlib import Path

ENV_FILE = "LLEM_CONFIG"
ENV_CACHE = "LLEM_CACHE"


def expanded(path: Path) -> Path:
    """Return a path with `~` replaced; unchanged if this user has no home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  # that of Path raises without a home folder


def settings_path() -> Path:
    """Return the path of the file that `load_settings` reads; the file need not exist."""
    path = os.environ.get(ENV_FILE)
    if path:
        return expanded(Path(path))
    import platformdirs  # not at the top, because validating a study file does not need it

    try:
        return platformdirs.user_config_path("llem") / "config.yaml"
    except RuntimeError:  # this user has no home folder, and so no such file
        return Path("~/.config/llem/config.yaml")


def gains_path() -> Path:
    """Return the path of the file with the gains of sensors that a meter has shown: not a cache."""
    return settings_path().with_name("gains.json")


def cache_path() -> Path:
    """Return the path of the file with this machine's calibrations; it is safe to delete.

    It is `llem/calibrations.json` in the user's cache folder, or the file that `LLEM_CACHE` names.
    For a user without a home folder it is in the folder for temporary files.
    """
    path = os.environ.get(ENV_CACHE)
    if path:
        return expanded(Path(path))
    return (cache_folder() or _temporary_cache()) / "calibrations.json"


def _temporary_cache() -> Path:
    """Return a folder for temporary files that no other user has made.

    Another user could otherwise give this one wrong calibrations.
    """
    folder = Path(tempfile.gettempdir()) / f"llem-{os.getuid()}"
    others = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(1))
    return next(path for path in itertools.chain([folder], others) if _is_own(path))


def _is_own(folder: Path) -> bool:
    """Return whether a folder belongs to this user, or does not exist."""
    try:
        status = folder.lstat()
    except OSError:
        return True
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def cache_folder() -> Path | None:
    """Return the folder of llem's cache files; everything in it is safe to delete.

    It is `llem` in the user's cache folder, or the folder of the file that `LLEM_CACHE` names. None
    for a user without a home folder.
    """
    path = os.environ.get(ENV_CACHE)
    if path:
        return expanded(Path(path)).absolute().parent
    import platformdirs  # as above

    with contextlib.suppress(RuntimeError):  # this user has no home folder
        folder = platformdirs.user_cache_path("llem")
        # Older versions return the path with `~`.
        return folder if folder.is_absolute() else None
    return None
