"""Checks that a folder holds a study; if it does not, the message names the studies near it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from llem_config.folders import NO_SUCH_FOLDER, found_instead
from llem_runner._archives.bag import STUDY
from llem_runner._errors import StudyError
from llem_runner._storage.atomic_files import reason_of
from llem_runner._storage.layout import Layout
from llem_runner._storage.stale_handles import without_stale
from llem_runner._storage.stored_values import SHARDS

_MAX_NAMES = 10


def check_study_folder(folder: Path) -> None:
    """Do nothing if a folder holds a study.

    Raises:
        StudyError: the folder does not exist, or holds no study. The message names the study
            folders in it, or the one that it belongs to. Or the system cannot tell.
    """
    if _holds_study(folder):
        return
    found = found_instead(folder)
    if found == NO_SUCH_FOLDER:
        raise StudyError(f"{folder}: no such folder; expected the folder of a study")
    if found not in (None, "a file"):
        raise StudyError(f"{folder}: expected the folder of a study, found {found}")
    if found is None:
        _check_readable(folder)
    for parent in folder.absolute().parents:
        if _holds_study(parent):
            raise StudyError(
                f"{folder}: expected the folder of a study, found a part of one; "
                f"use the study's folder, {parent}"
            )
    if found:
        raise StudyError(f"{folder}: this is a file; expected the folder of a study")
    if _holds_study(folder / STUDY):
        raise StudyError(
            f"{folder}: expected the folder of a study, found an unpacked archive; use the folder of the "
            f"study in it, {folder / STUDY}"
        )
    studies = find_studies(folder)
    if studies:
        shown = [path.name for path in studies[:_MAX_NAMES]]
        n_more = len(studies) - len(shown)
        more = f", and {n_more} more" if n_more else ""
        noun = "the study folder" if len(studies) == 1 else f"{len(studies)} study folders"
        raise StudyError(
            f"{folder} is not the folder of a study, but contains {noun} {', '.join(shown)}{more}; "
            f"use one of them, e.g. {studies[0]}"
        )
    raise StudyError(
        f"{folder} is not the folder of a study (it has no manifest.json); `study run` prints "
        "the folder that it creates"
    )


def find_studies(folder: Path) -> list[Path]:
    """Return the study folders directly in a folder, by name; none if it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if _holds_study(path))
    except OSError:
        return []


def _holds_study(folder: Path) -> bool:
    """Return whether a folder holds a study; False if the system cannot tell."""
    return any(_is_there(file) is True for file in _files(folder))


def _check_readable(folder: Path) -> None:
    """Do nothing if the system can tell whether the files of a study are in a folder.

    Raises:
        StudyError: it cannot, e.g. because another user has closed the folder.
    """
    for file in _files(folder):
        if isinstance(reason := _is_there(file), str):
            raise StudyError(
                f"{folder}: expected the folder of a study, found one in which "
                f"{file.relative_to(folder)} cannot be read: {reason}"
            )


def _files(folder: Path) -> Iterator[Path]:
    # One of the files is enough: a study that was killed before its first run has no manifest, and
    # people keep the result alone. The code that needs another file says that it is missing.
    layout = Layout(folder)
    yield from (layout.manifest, layout.resolved, layout.study_result)
    yield folder / SHARDS / "plan.json"


def _is_there(file: Path) -> bool | str:
    """Return whether a name is in its folder, and not the name of a folder; or why the system cannot tell."""
    try:
        # Links and pipes too: the code that reads them says what they are.
        return not stat.S_ISDIR(without_stale(file.lstat).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return False
    except OSError as error:
        return reason_of(error)
