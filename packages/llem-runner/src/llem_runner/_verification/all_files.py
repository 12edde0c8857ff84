"""Checks all files of a study, and of its archive, against every digest that was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from llem_config import StudyConfig
from llem_runner._archives.bag import STUDY
from llem_runner._archives.checked_file import CheckedFile
from llem_runner._archives.opening import OpenedStudy
from llem_runner._errors import StudyError, UnknownBackendError
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.manifest_reader import read_manifest
from llem_runner._storage.stale_handles import may_exist
from llem_runner._storage.study_reader import read_study
from llem_runner._verification.foreign_files import find_foreign
from llem_runner._verification.packs import check_packs
from llem_runner._verification.study_files import Results, check_files, check_merged


class CheckedStudy(NamedTuple):
    """The files of a study with their states, and what was read on the way."""

    manifest: StudyManifest
    study: StudyConfig | None
    """None if it cannot be read."""
    unknown_backend: UnknownBackendError | None
    """Why the study cannot be read, if another machine could."""
    results: Results
    files: tuple[CheckedFile, ...]
    """By their names in the folder of the study, or in the archive."""


def check_all(opened: OpenedStudy) -> CheckedStudy:
    """Return every file of an opened study with its state.

    Raises:
        StudyError: the manifest cannot be read, or the shards of a study were not merged yet.
    """
    layout = Layout(opened.folder)
    manifest = read_manifest(layout.folder)
    if manifest.is_divided and not may_exist(layout.manifest):
        raise StudyError(
            f"{layout.folder} has no manifest.json yet, because its shards were not merged: use `llem-cli "
            f"study merge {layout.folder}`, and verify it then"
        )
    study, unknown_backend = _study(layout)
    results = Results()
    # The folders of the shards of a divided study have files of their own.
    foreign = () if manifest.is_divided else find_foreign(layout, manifest)
    checked = check_files(
        layout, manifest, study, results, is_of_other_package=unknown_backend is not None
    )
    found = (*checked, *foreign)
    if manifest.is_divided:
        found = _worse(found, check_merged(layout, manifest))
        found = (*found, *check_packs(layout.folder, manifest))
    files = found if opened.archive is None else _joined(opened.files, found)
    return CheckedStudy(manifest, study, unknown_backend, results, files)


def _worse(
    found: Sequence[CheckedFile], of_merge: Iterable[CheckedFile]
) -> tuple[CheckedFile, ...]:
    """Return all files once; one that the last merge saw otherwise has the state that this gives it."""
    files = {file.name: file for file in found}
    files |= {file.name: file for file in of_merge if file.state != "intact"}
    return tuple(files.values())


def _joined(
    archived: Sequence[CheckedFile], of_study: Sequence[CheckedFile]
) -> tuple[CheckedFile, ...]:
    """Return the files of an archive; one that the study knows too has the worse of both states."""
    files = {file.name: file for file in archived}
    for file in of_study:
        name = f"{STUDY}/{file.name}"
        known = files.get(name)
        if known is None or known.state == "intact":
            files[name] = msgspec.structs.replace(file, name=name)
    return tuple(files.values())


def _study(layout: Layout) -> tuple[StudyConfig | None, UnknownBackendError | None]:
    """Return the study, or None with the reason if it can be read on another machine."""
    try:
        return read_study(layout.folder), None
    except UnknownBackendError as error:
        return None, error
    except StudyError:  # a damaged file is reported with the others
        return None, None
