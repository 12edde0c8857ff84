"""Which files of a study's folder are in its archive."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from llem_config.credentials import kind_of_credential
from llem_config.foreign_files import ForeignFileError, opened
from llem_report._errors import ReportError
from llem_runner.records import StudyManifest

_OF_STUDY = ("study.yaml", "study_resolved.json", "manifest.json", "study_result.json")
_OF_RUN = ("result.json", "timeseries.parquet", "requests.parquet", "log.txt")
_RUN_FOLDER = re.compile(r"([0-9]+)_c([0-9]+)_[A-Za-z0-9._-]+")
_TEXTS = ("log.txt",)


def study_files(folder: Path, manifest: StudyManifest) -> dict[str, Path]:
    """Return the files of a study by their names in its folder.

    Files of earlier attempts, of people, and of running processes are left out.

    Args:
        folder: of the study.
        manifest: of the folder.

    Raises:
        ReportError: a file is a link, or has a password or a token.
    """
    runs = {(entry.index, entry.cycle) for entry in manifest.entries}
    added = [each.study_file for each in manifest.extensions if each.study_file is not None]
    names = (*_OF_STUDY, *added)
    files = {name: folder / name for name in names if os.path.lexists(folder / name)}
    for path in sorted(folder.iterdir()):
        match = _RUN_FOLDER.fullmatch(path.name)
        if match and (int(match[1]), int(match[2])) in runs and not path.is_symlink():
            files |= {
                f"{path.name}/{name}": path / name
                for name in _OF_RUN
                if os.path.lexists(path / name)
            }
    for name, path in files.items():
        _check(name, path)
    return files


def left_out(folder: Path, files: dict[str, Path]) -> Iterator[str]:
    """Yield the names in a study's folder that are not in the archive."""
    packed = {Path(name).parts[0] for name in files}
    for path in sorted(folder.iterdir()):
        if path.name not in packed and not path.name.startswith("."):
            yield path.name


def _check(name: str, path: Path) -> None:
    try:
        with opened(path, follow_links=False) as file:
            if path.suffix != ".yaml" and path.name not in _TEXTS:
                return
            for number, line in enumerate(file, 1):
                if kind := kind_of_credential(line.decode(errors="replace")):
                    raise ReportError(
                        f"{path}, line {number}: expected no password, found {kind}; an archive is for "
                        "strangers, so revoke it and remove this line"
                    )
    except ForeignFileError as error:
        raise ReportError(f"{name} cannot be archived: {error}") from error
