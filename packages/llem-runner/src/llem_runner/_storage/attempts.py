"""The attempts at a shard on disk: who made them, how they ended, and which results they have."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import encode_json, read_json, reason_of, write_atomically
from llem_runner._storage.divided_folder import AttemptFolder, DividedFolder
from llem_runner._storage.folders import open_folder, remove_scratch_in
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import StudyManifest, read_manifest_file, tool_versions
from llem_runner._storage.result_files import KeptResult, valid_result
from llem_runner._storage.stored_values import is_instant

AttemptState = Literal[
    "running", "complete", "failed", "again", "fenced", "unfit", "stopped", "error", "reopened"
]
MAX_FRUITLESS = 3
"""Attempts in a row without a finished run, after which a shard is not started again."""


class AttemptProcess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A process of some machine. A number alone can belong to another process, or another host."""

    host: str
    boot_id: str | None
    """Of the system that it runs on; None if the system does not tell."""
    pid_namespace: str | None
    """In which `pid` counts: a container has its own."""
    pid: int
    started_ticks: int | None
    """When it started, in ticks since the system did."""

    @classmethod
    def this(cls) -> AttemptProcess:
        """Return the calling process."""
        return cls(
            host=platform.node(),
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
            pid=os.getpid(),
            started_ticks=_started_ticks(os.getpid()),
        )

    def is_alive(self) -> bool | None:
        """Return whether it still runs; None if it cannot be told from here."""
        here = (_boot_id(), _pid_namespace())
        if None in here or here != (self.boot_id, self.pid_namespace):
            return None
        started = _started_ticks(self.pid)
        return started is not None and started == self.started_ticks


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


class Attempt(NamedTuple):
    """One attempt, as it is on disk."""

    folder: AttemptFolder
    record: AttemptRecord | None
    """None if its process ended before it could write it."""
    manifest: StudyManifest | None
    """None if it has begun no run."""

    @property
    def n_finished(self) -> int:
        """Return how many runs it has finished, with a result or without."""
        totals = None if self.manifest is None else self.manifest.totals
        return 0 if totals is None else totals.completed + totals.failed

    @property
    def is_open(self) -> bool:
        """Return whether its files do not say that it has ended."""
        return self.record is not None and self.record.state == "running"

    @property
    def is_alive(self) -> bool | None:
        """Return whether its process still runs; None if it cannot be told from here."""
        if self.record is None or not self.is_open:
            return False
        return self.record.process.is_alive()


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


def remove_scratch_of_killed(attempts: Iterable[Attempt]) -> None:
    """Delete the temporary files of attempts whose process was killed on this machine.

    Those of a process that may live belong to it.

    Raises:
        StudyError: a folder cannot be read.
    """
    for attempt in attempts:
        if not attempt.is_open or attempt.is_alive is not False:
            continue
        for folder in (attempt.folder.path, *attempt.folder.path.glob("[0-9]*_c[0-9]*")):
            try:
                with open_folder(folder) as number:
                    remove_scratch_in(number)
            except OSError as error:
                raise StudyError(f"{folder} cannot be read: {reason_of(error)}") from error


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


def read_attempts(folder: DividedFolder, shard: int) -> list[Attempt]:
    """Return the attempts at a shard, first to last.

    Raises:
        StudyError: a file is damaged.
    """
    return [_read_attempt(each) for each in folder.attempts(shard)]


def check_study_of(attempts: Iterable[Attempt], study_design_hash: str) -> None:
    """Return if all attempts are of this study: a copied folder would bring results of other points.

    Raises:
        StudyError: one is of another study.
    """
    for attempt in attempts:
        found = study_design_hash
        if attempt.manifest is not None:
            found = attempt.manifest.study_design_hash
        if found != study_design_hash:
            raise StudyError(
                f"{Layout(attempt.folder.path).manifest}: expected the design hash {study_design_hash} of "
                f"this study, found {found}; move {attempt.folder.path} to the study that it is of"
            )


def _read_attempt(folder: AttemptFolder) -> Attempt:
    path = record_file(folder.path)
    record = None
    if os.path.lexists(path):
        record = read_json(path, AttemptRecord)
        for name in ("started_at", "ended_at", "ends_at"):
            text = getattr(record, name)
            if text is not None and not is_instant(text):
                raise StudyError(
                    f"{path} is damaged: {name}: expected a date and time, found {text!r}; restore it "
                    "from a copy"
                )
    manifest = Layout(folder.path).manifest
    return Attempt(
        folder, record, read_manifest_file(manifest) if os.path.lexists(manifest) else None
    )


def kept_results(attempts: Iterable[Attempt], runs: Iterable[PlannedRun]) -> dict[int, KeptResult]:
    """Return the valid result of each run that has one, by index; that of the first attempt counts.

    The first counts whatever its figures are: a choice by value would shift every mean.
    """
    kept: dict[int, KeptResult] = {}
    runs = tuple(runs)
    for attempt in attempts:
        if attempt.manifest is None:
            continue
        layout = Layout(attempt.folder.path)
        entries = {entry.index: entry for entry in attempt.manifest.entries}
        for run in runs:
            if run.index in kept:
                continue
            result = valid_result(layout, entries.get(run.index), run)
            if result is not None:
                kept[run.index] = result
    return kept


def failed_runs(attempts: Iterable[Attempt]) -> frozenset[int]:
    """Return the indices of the runs that failed in some attempt."""
    return frozenset(
        entry.index
        for attempt in attempts
        if attempt.manifest is not None
        for entry in attempt.manifest.entries
        if entry.status == "failed"
    )


def n_fruitless(attempts: Iterable[Attempt]) -> int:
    """Return how many of the last attempts finished no run, without having been told to stop."""
    n = 0
    for attempt in attempts:
        state = None if attempt.record is None else attempt.record.state
        if attempt.n_finished or state == "reopened":
            n = 0
        elif state not in (None, "stopped", "fenced"):
            n += 1
    return n


def now() -> str:
    """Return the present time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return None


def _pid_namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _started_ticks(pid: int) -> int | None:
    """Return when a process started; None if there is none. Source: proc(5), `stat`, field 22."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
