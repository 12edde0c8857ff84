"""The folder of a study, as an argument of `resume` and `show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_runner import StudyError

StudyFolder = Annotated[Path, Parameter(help="Folder of the study, as printed when it ran.")]


def check_study_folder(folder: Path) -> None:
    """Do nothing if a folder holds a study.

    Raises:
        StudyError: the folder does not exist, or holds no study.
    """
    if not folder.is_dir():
        found = "this is a file" if folder.exists() else "no such folder"
        raise StudyError(f"{folder}: {found}; expected the folder of a study")
    # Only one of them: a study that was killed before its first run has no manifest, and `resume`
    # starts it; without the resolved study, the library reports what is missing.
    if not any((folder / name).is_file() for name in ("manifest.json", "study_resolved.json")):
        raise StudyError(
            f"{folder} is not the folder of a study (it has no manifest.json); `study run` prints "
            "the folder that it creates"
        )
