"""Checks the packs of a divided study: whether every file in them is as it was packed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llem_runner._archives.checked_file import CheckedFile, doubtful_file
from llem_runner._storage.attempt_folders import attempt_folders
from llem_runner._storage.manifest import StudyManifest
from llem_runner._storage.pack_reading import pack_problem
from llem_runner._storage.run_files import pack_of


def check_packs(folder: Path, manifest: StudyManifest) -> Iterator[CheckedFile]:
    """Yield each pack that is damaged. The files in an intact one are compared with their own digests.

    Args:
        folder: of a divided study.
        manifest: of the study.

    Raises:
        StudyError: the folder of a shard cannot be read.
    """
    for shard in manifest.shards:
        for attempt in attempt_folders(folder / shard):
            pack = pack_of(attempt.path)
            if pack is not None and (problem := pack_problem(pack)):
                name = pack.relative_to(folder).as_posix()
                yield doubtful_file(name, "damaged", problem)
