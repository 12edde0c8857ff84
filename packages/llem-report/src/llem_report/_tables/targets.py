"""Where an export may be written, and in which format."""

from __future__ import annotations

import contextlib
import re
import stat
from pathlib import Path
from typing import NamedTuple

from llem_report._errors import ArgumentError, ReportError
from llem_report._tables.writing import FORMATS, Format
from llem_runner import StudyError, is_running

_ENDINGS: dict[str, Format] = {f".{kind}": kind for kind in FORMATS}
_RUN_FOLDER = re.compile(r"\d{4,}_c\d+_.*")


class Target(NamedTuple):
    """A file with one table, or a folder for all tables."""

    path: Path
    format: Format | None
    """None for a folder."""


def parse_target(text: str | Path) -> Target:
    """Return what a target is: a file by its ending, or a folder.

    Args:
        text: a path. It is a folder if it exists as one, ends with `/` or has no ending.

    Raises:
        ArgumentError: no format has this ending.
    """
    path = Path(text)
    try:
        is_folder = str(text).endswith("/") or _is_folder(path)
    except (OSError, ValueError) as error:  # too long a name; a NUL in it
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ArgumentError(f"{str(text)!r} is no path of a file or a folder: {reason}") from error
    if is_folder or not path.suffix:
        return Target(path, None)
    kind = _ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise ArgumentError(
            f"{path}: expected a file that ends with {', '.join(_ENDINGS)}, or a folder; found "
            f"{path.suffix!r}; for a folder of this name, write {path}/"
        )
    return Target(path, kind)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def check_place(folder: Path, target: Target) -> None:
    """Do nothing if a target does not disturb the study.

    Args:
        folder: of the study.
        target: of the export.

    Raises:
        ReportError: the target is in the folder of a study that is running, or in the folder of one
            of its runs, whose files have the names of exported tables.
    """
    study = folder.resolve()
    place = target.path.resolve() if target.format is None else target.path.parent.resolve()
    if not place.is_relative_to(study):
        return
    inside = place.relative_to(study).parts
    if inside and _RUN_FOLDER.fullmatch(inside[0]):
        raise ReportError(
            f"{target.path}: expected a target outside the folders of the runs, found {inside[0]}; "
            "use another folder"
        )
    running = None
    with contextlib.suppress(StudyError):  # no access to the lock file of another user
        running = is_running(folder)
    if running:
        raise ReportError(
            f"{target.path}: the study is running, so its folder may not be changed; use a target "
            "outside of it"
        )
