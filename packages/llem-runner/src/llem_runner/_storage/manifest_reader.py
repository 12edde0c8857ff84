"""Read the manifest of a study, also while several processes run it."""

from __future__ import annotations

from pathlib import Path

from llem_runner._storage.divided_folder import DividedFolder
from llem_runner._storage.divided_manifest import merge_manifests
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest, read_manifest_file
from llem_runner._storage.study_folder import check_study_folder


def read_manifest(folder: str | Path) -> StudyManifest:
    """Read the manifest of a study folder.

    That of a divided study is merged from those of its attempts as they are now, whenever its
    `manifest.json` was written.

    Raises:
        StudyError: not a study folder, or there is no manifest, or it is damaged.
    """
    check_study_folder(Path(folder))
    divided = DividedFolder(Path(folder))
    if divided.is_divided():
        return merge_manifests(divided)
    return read_manifest_file(Layout(Path(folder)).manifest)
