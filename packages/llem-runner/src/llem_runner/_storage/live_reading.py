"""Read what the run in progress writes about itself: its stage, and the newest power."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import msgspec

from llem_config.foreign_files import ForeignFileError, read_bytes
from llem_energy.records import LiveReading
from llem_runner._storage.attempt_folders import attempt_folder
from llem_runner._storage.folders import folder_problem
from llem_runner._storage.layout import LIVE
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.run_files import packed_run_folders

_MAX_BYTES = 1 << 17
_MAX_NAMES = 1_000_000


def find_run_folder(folder: str | Path, entry: ManifestEntry) -> Path | None:
    """Return the folder of a run, by its name; None if there is none.

    Args:
        folder: of the study.
        entry: of the run, from the manifest of the folder.
    """
    if entry.shard is not None and entry.session is not None:
        attempt = attempt_folder(Path(folder), entry.shard, entry.session)
        folder = attempt if attempt.is_dir() else folder  # a merged study has no such folders
    start, end = f"{entry.index:04d}_c{entry.cycle}_", f"_{entry.config_hash[:8]}"
    try:
        with os.scandir(folder) as names:
            for each in islice(names, _MAX_NAMES):
                if each.name.startswith(start) and each.name.endswith(end):
                    return Path(folder) / each.name
    except (OSError, ValueError):
        pass
    for path in packed_run_folders(Path(folder)):
        if path.name.startswith(start) and path.name.endswith(end):
            return path
    return None


def read_live(run_folder: Path) -> LiveReading | None:
    """Read what a run that is in progress does now; no link is followed.

    Args:
        run_folder: of the run, inside a study's folder.

    Returns:
        None if there is nothing to read, or if it was just being written. Check `written_at_s`: the
        file of a killed run stays.
    """
    if folder_problem(run_folder):
        return None
    try:
        content = read_bytes(run_folder / LIVE, max_bytes=_MAX_BYTES, follow_links=False)
        reading = msgspec.json.decode(content, type=LiveReading)
    except (ForeignFileError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return reading if reading.n_written == reading.n_written_again else None
