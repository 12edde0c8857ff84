"""The studies in a folder for results, newest first, each with its state."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from llem_runner._errors import StudyError
from llem_runner._storage.manifest import StudyManifest, Totals
from llem_runner._storage.manifest_reader import read_manifest
from llem_runner._storage.running import is_running
from llem_runner._storage.stored_values import is_instant
from llem_runner._storage.study_folder import find_studies


class ListedStudy(msgspec.Struct, frozen=True, kw_only=True):
    """One study of a list."""

    folder: str
    """Its path."""
    state: str
    """`not started` (a divided study of which no shard has begun), `running`, `completed`, `failed` (a
    run failed), `interrupted`, `aborted`, `stopped` (its process was killed) or `unreadable`."""
    started_at: str | None = None
    """Its last start in UTC, ISO 8601; when it was divided if it has not started; None if the study cannot
    be read."""
    n_points: int = 0
    totals: Totals | None = None
    """How many runs are in each state."""
    problem: str | None = None
    """Why it cannot be read, in a sentence; None if it can."""


def list_studies(folder: str | Path) -> tuple[ListedStudy, ...]:
    """Return the studies directly in a folder, the one that was started last first.

    Studies that cannot be read are at the end. The list is empty if the folder cannot be read.
    """
    listed = [_listed(path) for path in find_studies(Path(folder))]
    never = datetime.min.replace(tzinfo=UTC)

    def start(study: ListedStudy) -> datetime:
        return datetime.fromisoformat(study.started_at) if study.started_at else never

    return tuple(sorted(listed, key=start, reverse=True))


def _listed(folder: Path) -> ListedStudy:
    try:
        manifest = read_manifest(folder)
    except StudyError as error:
        return ListedStudy(folder=str(folder), state="unreadable", problem=str(error))
    starts = (start.started_at for start in manifest.starts if is_instant(start.started_at))
    return ListedStudy(
        folder=str(folder),
        state=_state(folder, manifest),
        started_at=max((manifest.started_at, *starts), key=datetime.fromisoformat),
        n_points=len({entry.config_hash for entry in manifest.entries}),
        totals=manifest.totals,
    )


def _state(folder: Path, manifest: StudyManifest) -> str:
    if manifest.shards and not manifest.host:  # no shard has an attempt
        return "not started"
    if manifest.status != "running":
        return manifest.status
    with contextlib.suppress(StudyError):  # no access to the lock file, e.g. of another user
        running = is_running(folder)
        return "unknown" if running is None else "running" if running else "stopped"
    return "running"
