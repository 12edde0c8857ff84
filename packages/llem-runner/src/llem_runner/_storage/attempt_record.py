"""`attempt.json`: who made an attempt at a shard, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from llem_runner._storage.atomic_files import encode_json, write_atomically
from llem_runner._storage.attempt_folders import AttemptFolder
from llem_runner._storage.attempt_process import AttemptProcess
from llem_runner._storage.manifest import tool_versions

AttemptState = Literal[
    "running", "complete", "failed", "again", "fenced", "unfit", "stopped", "error", "reopened"
]


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `attempt.json`."""

    schema_version: Literal[1] = 1
    shard: int
    attempt: int
    state: AttemptState = "running"
    """`complete`: every run of the shard has a result. `failed`: every run has one or has failed, or
    too many failed in a row. `again`: the time limit was near. `fenced`: another process has begun a
    later attempt. `unfit`: the machine cannot run the shard. `stopped`: on request. `error`: nothing
    could be written, or something else ended it. `reopened`: a person allowed more attempts."""
    reason: str | None = None
    """Why it ended so, in words."""
    process: AttemptProcess
    cluster: str | None = None
    """What started it; None: a person, or something unknown."""
    job: str | None = None
    """The cluster's name for the task."""
    n_restarts: int | None = None
    """How often the cluster had started the task before."""
    machine: str | None = None
    """The cluster's name for the machine."""
    gpus: tuple[str, ...] | None = None
    """UUIDs of the GPUs that it may use; None if it is not known."""
    whole_machine: bool | None = None
    """Whether no other job could be on the machine; None if it is not known."""
    ends_at: str | None = None
    """When the cluster would have ended it, in UTC; None: not known, or never."""
    started_at: str
    ended_at: str | None = None
    executor: str | None = None
    """What measures its runs; None if it ended before that was known."""
    limits_enforced: bool | None = None
    """Whether a run is ended at its timeout."""
    versions: dict[str, str]


class AttemptWriter:
    """Writes the record of an attempt; only the process of the attempt does so."""

    def __init__(self, folder: AttemptFolder, record: AttemptRecord) -> None:
        """Write the record of an attempt that begins.

        Raises:
            StudyError: it cannot be written.
        """
        self._folder = folder
        self._record = record
        self._write()

    def update(self, **changes: object) -> None:
        """Write changed fields.

        Raises:
            StudyError: they cannot be written.
        """
        self._record = msgspec.structs.replace(self._record, **changes)
        self._write()

    def end(self, state: AttemptState, reason: str | None) -> None:
        """Write how the attempt has ended.

        Raises:
            StudyError: it cannot be written.
        """
        self.update(state=state, reason=reason, ended_at=now())

    def _write(self) -> None:
        write_atomically(record_file(self._folder.path), encode_json(self._record))


def new_record(shard: int, attempt: int, state: AttemptState = "running") -> AttemptRecord:
    """Return the record of an attempt of this process that begins now."""
    return AttemptRecord(
        shard=shard,
        attempt=attempt,
        state=state,
        process=AttemptProcess.this(),
        started_at=now(),
        versions=tool_versions(),
    )


def record_file(folder: Path) -> Path:
    """Return the file with the record of an attempt."""
    return folder / "attempt.json"


def now() -> str:
    """Return the present time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
