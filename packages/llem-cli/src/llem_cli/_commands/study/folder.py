"""The folders of studies, as arguments of commands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._display.console import note
from llem_config import ConfigError, Fault, load_settings
from llem_config.folders import NO_SUCH_FOLDER, found_instead
from llem_runner import StudyError, list_studies, read_study
from llem_runner.archives import is_archive
from llem_runner.plan import levels
from llem_runner.records import ListedStudy

StudyFolder = Annotated[Path, Parameter(help="Folder of the study, as printed when it ran.")]

StudyOrArchive = Annotated[
    Path, Parameter(help="Folder of the study, as printed when it ran, or its archive (.zip).")
]

_NO_SUCH_FILE = "no such file"
_STUDY_OR_ARCHIVE = "the folder or the archive of a study"
_FILES = ("manifest.json", "study_resolved.json", "study_result.json")
"""One of them is enough for the folder of a study: a study may be killed before its first run."""


def check_folders(folders: Iterable[Path], expected: str = "the folder of a study") -> None:
    """Return if all are folders.

    Args:
        folders: as the user has named them.
        expected: what they may be, for the message.

    Raises:
        ConfigError: one does not exist, or is a file.
    """
    for folder in folders:
        if found := found_instead(folder):
            if is_archive(folder):
                found = "an archive, which is not changed; unpack it, and use the folder data/study in it"
            if found == NO_SUCH_FOLDER:
                found = _NO_SUCH_FILE if folder.suffix.lower() == ".zip" else found
                found += "; `llem-cli study list` lists those in the folder for results"
            near = _near(folder) if found == "a file" else ""
            if found == "a file" and not near and expected == _STUDY_OR_ARCHIVE:
                found = "another file"
            raise usage_error("", f"{folder}: expected {expected}, found {found}{near}")


def check_studies(paths: Iterable[Path]) -> None:
    """Return if all are folders or archives.

    Raises:
        ConfigError: one does not exist, or is another file.
    """
    folders = (path for path in paths if not is_archive(path))
    check_folders(folders, _STUDY_OR_ARCHIVE)


def studies_in(folder: Path) -> tuple[ListedStudy, ...]:
    """Return the studies of a folder for results, newest first.

    Raises:
        StudyError: there is none.
    """
    studies = list_studies(folder)
    if not studies:
        found = found_instead(folder)
        found = f"found {found}" if found else "found none"
        raise StudyError(
            f"{folder}: expected a folder with studies, {found}; `llem-cli study run FILE` runs one, "
            "and its output names the folder"
        )
    return studies


def latest_study() -> Path:
    """Return the folder of the study that was started last, and say so if there are others.

    That is the working directory if it is the folder of a study.

    Raises:
        StudyError: there is no study in the folder for results.
    """
    if any(Path(name).is_file() for name in _FILES):
        return Path()
    results = load_settings().output.results_dir
    studies = studies_in(results)
    latest = Path(studies[0].folder)
    if len(studies) > 1:
        note(f"{latest}: the latest of {len(studies)} studies; `llem-cli study list` lists them")
    return latest


def point_levels(folder: Path) -> dict[str, dict[str, str]]:
    """Return the level of each factor by the hash of the point; empty if they cannot be read."""
    # The versions installed here may not read a study of other versions.
    with contextlib.suppress(StudyError):
        study = read_study(folder)
        return dict(zip(study.config_hashes, levels(study), strict=True))
    return {}


def _near(path: Path) -> str:
    """Return which folder to name instead of a file in the folder of a study."""
    for parent in path.absolute().parents:
        with contextlib.suppress(OSError, ValueError):  # not readable, or no possible name
            if any((parent / name).is_file() for name in _FILES):
                return f" in one; use the study's folder, {parent}"
    return ""


def usage_error(key: str, problem: str) -> ConfigError:
    """Return the error of a wrong argument or flag, which exits with code 2."""
    return ConfigError([Fault("<command line>", 0, 0, key, problem)])
