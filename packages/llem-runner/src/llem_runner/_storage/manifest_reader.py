"""Read the manifest of a study, also while several processes run it."""

from __future__ import annotations

from pathlib import Path

from llem_runner._storage.attempt_record import record_file
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


def manifest_signature(folder: str | Path) -> tuple[int, ...]:
    """Return numbers that change whenever the manifest of a study does.

    Raises:
        OSError: there is no manifest.
        StudyError: the folder of a divided study is damaged.
    """
    divided = DividedFolder(Path(folder))
    files = [divided.layout.manifest]
    if divided.is_divided():
        files = [divided.plan, divided.next_plan, divided.layout.resolved]
        for shard in divided.read_plan().shards:
            for attempt in divided.attempts(shard.number):
                files += [record_file(attempt.path), Layout(attempt.path).manifest]
    numbers: list[int] = []
    for file in files:
        try:
            status = file.lstat()
        except OSError:
            if len(files) == 1:
                raise
            continue  # of an attempt that has just begun
        numbers += [status.st_mtime_ns, status.st_size, status.st_ino]
    return tuple(numbers)
