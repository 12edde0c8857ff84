"""`manifest.json`: every planned run from the start, and what became of it. The checkpoint."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from llem_runner._errors import StudyError
from llem_runner._outcome import Failed, Reason
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.atomic_files import encode_json, read_json, write_atomically
from llem_runner._storage.layout import Layout

RunStatus = Literal["pending", "running", "completed", "failed", "interrupted"]
_PIECE = 256  # entries; a text of tens of kilobytes
StudyStatus = Literal["running", "completed", "failed", "interrupted", "aborted"]


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One planned run."""

    index: int
    cycle: int
    config_hash: str
    label: str
    status: RunStatus = "pending"
    result_file: str | None = None
    """Relative to the study's folder; only of a completed run."""
    error_type: str | None = None
    error_message: str | None = None
    error_reason: Reason | None = None
    """Why there is no result; None too in a file of format 1."""
    error_log: str | None = None
    """The last lines of the log."""
    started_at: str | None = None
    ended_at: str | None = None
    attempts: int = 0
    gpu_temperatures_c: dict[str, float] | None = None
    """By UUID, just before the run; None without a GPU or before it."""


class Totals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many runs are in each state."""

    pending: int
    running: int
    completed: int
    failed: int
    interrupted: int


class StudyManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of a study on disk.

    Format 1 had no `error_reason`, `error_log` and temperatures; format 2 adds them.
    """

    schema_version: Literal[1, 2] = 2
    study_name: str
    study_design_hash: str
    versions: dict[str, str]
    host: str
    pid: int
    """The process that runs the study; a `running` entry of a dead one is stale."""
    status: StudyStatus
    """`failed`: the end was reached, but some run failed."""
    started_at: str
    ended_at: str | None
    directory: str | None = None
    """Where the study was begun: what relative paths in it count from."""
    first_temperatures_c: dict[str, float] | None = None
    """Of each GPU by UUID, just before the study's first run; what gaps may return to."""
    totals: Totals
    entries: tuple[ManifestEntry, ...]


class ManifestWriter:
    """Keeps the manifest on disk in step with the study; every change is a whole, synced file.

    The text of the entries is kept in pieces, so that a change encodes one of many thousands and
    joins some hundreds.
    """

    def __init__(self, layout: Layout, manifest: StudyManifest) -> None:
        self._layout = layout
        self._head = msgspec.structs.replace(manifest, schema_version=2, entries=())
        self._entries: dict[int, ManifestEntry] = {}
        self._lines: dict[int, list[bytes]] = {}
        self._pieces: dict[int, bytes] = {}
        self._counts: Counter[str] = Counter()
        for entry in manifest.entries:
            self._put(entry)

    @classmethod
    def create(
        cls, layout: Layout, name: str, design_hash: str, runs: Sequence[PlannedRun]
    ) -> ManifestWriter:
        """Write a new manifest with every run pending."""
        entries = tuple(_new(run) for run in runs)
        manifest = StudyManifest(
            study_name=name,
            study_design_hash=design_hash,
            versions=tool_versions(),
            host=platform.node(),
            pid=os.getpid(),
            status="running",
            started_at=_now(),
            ended_at=None,
            directory=str(Path.cwd()),
            totals=_totals({}),
            entries=entries,
        )
        writer = cls(layout, manifest)
        writer._write()
        return writer

    @property
    def manifest(self) -> StudyManifest:
        """Return the state as it is on disk."""
        entries = tuple(self._entries.values())
        return msgspec.structs.replace(self._head, entries=entries, totals=self.totals)

    @property
    def totals(self) -> Totals:
        """Return how many runs are in each state."""
        return _totals(self._counts)

    @property
    def first_temperatures_c(self) -> dict[str, float] | None:
        """Return how warm the GPUs were before the study's first run."""
        return self._head.first_temperatures_c

    @property
    def n_planned(self) -> int:
        """Return how many runs the study has."""
        return len(self._entries)

    def entry(self, run: PlannedRun) -> ManifestEntry:
        """Return the entry of a run."""
        return self._entries[run.index]

    def reopen(self, kept: Mapping[int, Path], runs: Sequence[PlannedRun]) -> None:
        """Begin again: runs with a good result (by index) are completed, all others pending.

        Args:
            kept: where the good results are.
            runs: all of the study; those that have no entry yet get one.
        """
        for run in runs:
            old = self._entries.get(run.index) or _new(run)
            if run.index in kept:
                result_file = self._layout.relative(kept[run.index])
                self._put(msgspec.structs.replace(old, status="completed", result_file=result_file))
            else:
                self._put(msgspec.structs.replace(_new(run), attempts=old.attempts))
        self._head = msgspec.structs.replace(
            self._head, status="running", ended_at=None, host=platform.node(), pid=os.getpid()
        )
        self._write()

    def mark_running(
        self, run: PlannedRun, gpu_temperatures_c: dict[str, float] | None = None
    ) -> None:
        """Book the start of a run, and how warm the GPUs are."""
        warm = gpu_temperatures_c or None
        if self._head.first_temperatures_c is None and warm:
            self._head = msgspec.structs.replace(self._head, first_temperatures_c=warm)
        self._put(
            msgspec.structs.replace(
                _new(run),
                status="running",
                started_at=_now(),
                attempts=self._entries[run.index].attempts + 1,
                gpu_temperatures_c=warm,
            )
        )
        self._write()

    def mark_completed(self, run: PlannedRun, result: Path) -> None:
        """Book a run whose result is already on disk.

        Raises:
            StudyError: the result is not there.
        """
        if not result.is_file():
            raise StudyError(f"run {run.index} cannot be booked: {result} is not on disk")
        self._end(run, status="completed", result_file=self._layout.relative(result))

    def mark_failed(self, run: PlannedRun, failure: Failed) -> None:
        """Book a run that ended without a result."""
        self._end(
            run,
            status="failed",
            error_type=failure.error_type,
            error_message=failure.message,
            error_reason=failure.reason,
            error_log=failure.log_tail or None,
        )

    def mark_interrupted(self, run: PlannedRun) -> None:
        """Book a run that was stopped on request."""
        self._end(run, status="interrupted")

    def finish(self, status: StudyStatus) -> None:
        """Book the end of the study; a run that is still open, by an error of ours, with it."""
        for entry in list(self._entries.values()):
            if entry.status == "running":
                self._put(msgspec.structs.replace(entry, status="interrupted", ended_at=_now()))
        self._head = msgspec.structs.replace(self._head, status=status, ended_at=_now())
        self._write()

    def _end(self, run: PlannedRun, **changes: object) -> None:
        self._put(msgspec.structs.replace(self._entries[run.index], ended_at=_now(), **changes))
        self._write()

    def _put(self, entry: ManifestEntry) -> None:
        before = self._entries.get(entry.index)
        if before is not None:
            self._counts[before.status] -= 1
        self._counts[entry.status] += 1
        self._entries[entry.index] = entry
        piece, place = divmod(entry.index - 1, _PIECE)
        lines = self._lines.setdefault(piece, [])
        # By their place: the indices of a study run from 1 without a gap.
        lines[place : place + 1] = [msgspec.json.encode(entry)]
        self._pieces.pop(piece, None)

    def _write(self) -> None:
        head = encode_json(msgspec.structs.replace(self._head, totals=self.totals))
        start, empty, end = head.rpartition(b"[]")  # of the entries, which are the last field
        if not self._lines:
            write_atomically(self._layout.manifest, start, empty, end)
            return
        for number, lines in self._lines.items():
            if number not in self._pieces:
                comma = b",\n    " if number else b""
                self._pieces[number] = comma + b",\n    ".join(lines)
        texts = (self._pieces[number] for number in self._lines)
        write_atomically(self._layout.manifest, start, b"[\n    ", *texts, b"\n  ]", end)


def read_manifest(folder: str | Path) -> StudyManifest:
    """Read the manifest of a study folder.

    Raises:
        StudyError: there is none, or it is damaged.
    """
    return read_json(Layout(Path(folder)).manifest, StudyManifest)


def tool_versions() -> dict[str, str]:
    """Return the versions of the packages that write a study's files."""
    return {name: version(name) for name in ("llem-config", "llem-energy", "llem-runner")}


def _totals(counts: Mapping[str, int]) -> Totals:
    return Totals(**{name: counts.get(name, 0) for name in Totals.__struct_fields__})


def _new(run: PlannedRun) -> ManifestEntry:
    return ManifestEntry(
        index=run.index, cycle=run.cycle, config_hash=run.config_hash, label=run.label
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
