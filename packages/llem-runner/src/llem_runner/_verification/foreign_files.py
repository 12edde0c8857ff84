"""Finds files in a study's folder that the study did not write."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from llem_runner._archives.checked_file import CheckedFile, doubtful_file
from llem_runner._storage.layout import LIVE, LOG, REQUESTS, RESULT, TIMESERIES, Layout
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.stored_values import SHARDS

_RUN_FOLDER = re.compile(r"([0-9]+)_c([0-9]+)_.+")
_OF_RUN = frozenset((RESULT, TIMESERIES, REQUESTS, LOG, LIVE))
_OF_DIVIDED = frozenset((SHARDS, "cluster"))
_MAX_FILES = 1000
"""Foreign files that are listed."""


def find_foreign(layout: Layout, manifest: StudyManifest) -> Iterator[CheckedFile]:
    """Yield each file and folder that no start of the study has written, by name.

    Files of earlier attempts (`.old`) and the report of the study are not foreign.

    Args:
        layout: of the folder.
        manifest: of the folder.
    """
    for number, (name, reason) in enumerate(_foreign(layout, manifest)):
        if number == _MAX_FILES:
            return
        yield doubtful_file(name, "not listed", reason)


def _foreign(layout: Layout, manifest: StudyManifest) -> Iterator[tuple[str, str]]:
    runs = {(entry.index, entry.cycle): entry for entry in manifest.entries}
    of_study = {path.name for path in (layout.resolved, layout.manifest, layout.study_result)}
    of_study |= {layout.lock.name, "report.html"}
    if manifest.study_file_sha256 is not None or manifest.resolved_sha256 is None:
        of_study.add(layout.source.name)
    of_study |= {each.study_file for each in manifest.extensions if each.study_file is not None}
    for entry in _sorted(layout.folder):
        match = _RUN_FOLDER.fullmatch(entry.name)
        run = runs.get((int(match[1]), int(match[2]))) if match else None
        if entry.is_symlink():
            yield entry.name, "it is a link, which is not followed"
        elif run is not None and entry.is_dir():
            folder = run.result_file and Path(run.result_file).parent.name
            if folder and folder != entry.name:
                yield f"{entry.name}/", f"run {run.index} has the folder {folder}"
            else:
                yield from _in_run_folder(entry)
        elif entry.is_dir() and manifest.is_divided and entry.name in _OF_DIVIDED:
            continue
        elif entry.is_dir():
            yield f"{entry.name}/", "no run of the study has this folder"
        elif entry.name not in of_study:
            yield entry.name, "the study did not write it"


def _in_run_folder(folder: os.DirEntry[str]) -> Iterator[tuple[str, str]]:
    for entry in _sorted(Path(folder.path)):
        name = f"{folder.name}/{entry.name}"
        if entry.is_symlink():
            yield name, "it is a link, which is not followed"
        elif entry.is_dir():
            yield f"{name}/", "a run has no folders"
        elif entry.name.removesuffix(".old") not in _OF_RUN:
            yield name, "its run did not write it"


def _sorted(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
