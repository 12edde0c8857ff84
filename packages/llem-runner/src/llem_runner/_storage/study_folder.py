"""Checks that a folder holds a study; if it does not, the message names the studies near it."""

from __future__ import annotations

import os
from pathlib import Path

from llem_config.folders import NO_SUCH_FOLDER, found_instead
from llem_runner._errors import StudyError
from llem_runner._storage.layout import Layout
from llem_runner._storage.stored_values import SHARDS

_MAX_NAMES = 10


def check_study_folder(folder: Path) -> None:
    """Do nothing if a folder holds a study.

    Raises:
        StudyError: the folder does not exist, or holds no study. The message names the study
            folders in it, or the one that it belongs to.
    """
    if _holds_study(folder):
        return
    found = found_instead(folder)
    if found == NO_SUCH_FOLDER:
        raise StudyError(f"{folder}: no such folder; expected the folder of a study")
    if found not in (None, "a file"):
        raise StudyError(f"{folder}: expected the folder of a study, found {found}")
    for parent in folder.absolute().parents:
        if _holds_study(parent):
            raise StudyError(
                f"{folder}: expected the folder of a study, found a part of one; "
                f"use the study's folder, {parent}"
            )
    if found:
        raise StudyError(f"{folder}: this is a file; expected the folder of a study")
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
    # One of the files is enough: a study that was killed before its first run has no manifest, and
    # people keep the result alone. The code that needs another file says that it is missing.
    layout = Layout(folder)
    try:
        # Links and pipes too: the code that reads them says what they are.
        files = (
            layout.manifest,
            layout.resolved,
            layout.study_result,
            folder / SHARDS / "plan.json",
        )
        return any(os.path.lexists(file) and not file.is_dir() for file in files)
    except (OSError, ValueError):  # no permission, or a NUL in the name
        return False
