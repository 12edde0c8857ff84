"""`manifest.json`: every planned run from the start, and what became of it. The checkpoint."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from llem_runner._errors import StudyError
from llem_runner._files import encode_json, read_json, write_atomically
from llem_runner._layout import Layout
from llem_runner._messages import Failed
from llem_runner._schedule import PlannedRun

RunStatus = Literal["pending", "running", "completed", "failed", "interrupted"]
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
    started_at: str | None = None
    ended_at: str | None = None
    attempts: int = 0


class Totals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many runs are in each state."""

    pending: int
    running: int
    completed: int
    failed: int
    interrupted: int


class StudyManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of a study on disk. Format 1 is the first one."""

    schema_version: Literal[1] = 1
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
    totals: Totals
    entries: tuple[ManifestEntry, ...]


class ManifestWriter:
    """Keeps the manifest on disk in step with the study; every change is a whole, synced file."""

    def __init__(self, layout: Layout, manifest: StudyManifest) -> None:
        self._layout = layout
        self._manifest = manifest
        self._entries = {entry.index: entry for entry in manifest.entries}

    @classmethod
    def create(
        cls, layout: Layout, name: str, design_hash: str, runs: Sequence[PlannedRun]
    ) -> ManifestWriter:
        """Write a new manifest with every run pending."""
        entries = tuple(
            ManifestEntry(
                index=run.index, cycle=run.cycle, config_hash=run.config_hash, label=run.label
            )
            for run in runs
        )
        manifest = StudyManifest(
            study_name=name,
            study_design_hash=design_hash,
            versions=tool_versions(),
            host=platform.node(),
            pid=os.getpid(),
            status="running",
            started_at=_now(),
            ended_at=None,
            totals=_totals(entries),
            entries=entries,
        )
        writer = cls(layout, manifest)
        writer._write()
        return writer

    @property
    def manifest(self) -> StudyManifest:
        """Return the state as it is on disk."""
        return self._manifest

    def entry(self, run: PlannedRun) -> ManifestEntry:
        """Return the entry of a run."""
        return self._entries[run.index]

    def reopen(self, kept: Mapping[int, Path]) -> None:
        """Begin again: runs with a good result (by index) are completed, all others pending."""
        for index, entry in self._entries.items():
            if index in kept:
                result_file = self._layout.relative(kept[index])
                self._entries[index] = msgspec.structs.replace(
                    entry, status="completed", result_file=result_file
                )
            else:
                self._entries[index] = ManifestEntry(
                    index=index,
                    cycle=entry.cycle,
                    config_hash=entry.config_hash,
                    label=entry.label,
                    attempts=entry.attempts,
                )
        self._manifest = msgspec.structs.replace(
            self._manifest, status="running", ended_at=None, host=platform.node(), pid=os.getpid()
        )
        self._write()

    def mark_running(self, run: PlannedRun) -> None:
        """Book the start of a run."""
        self._entries[run.index] = msgspec.structs.replace(
            self._entries[run.index],
            status="running",
            started_at=_now(),
            attempts=self._entries[run.index].attempts + 1,
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
            run, status="failed", error_type=failure.error_type, error_message=failure.message
        )

    def mark_interrupted(self, run: PlannedRun) -> None:
        """Book a run that was stopped on request."""
        self._end(run, status="interrupted")

    def finish(self, status: StudyStatus) -> None:
        """Book the end of the study; a run that is still open, by an error of ours, with it."""
        for index, entry in self._entries.items():
            if entry.status == "running":
                self._entries[index] = msgspec.structs.replace(
                    entry, status="interrupted", ended_at=_now()
                )
        self._manifest = msgspec.structs.replace(self._manifest, status=status, ended_at=_now())
        self._write()

    def _end(self, run: PlannedRun, **changes: object) -> None:
        self._entries[run.index] = msgspec.structs.replace(
            self._entries[run.index], ended_at=_now(), **changes
        )
        self._write()

    def _write(self) -> None:
        entries = tuple(self._entries.values())
        self._manifest = msgspec.structs.replace(
            self._manifest, entries=entries, totals=_totals(entries)
        )
        write_atomically(self._layout.manifest, encode_json(self._manifest))


def read_manifest(folder: str | Path) -> StudyManifest:
    """Read the manifest of a study folder.

    Raises:
        StudyError: there is none, or it is damaged.
    """
    return read_json(Layout(Path(folder)).manifest, StudyManifest)


def tool_versions() -> dict[str, str]:
    """Return the versions of the packages that write a study's files."""
    return {name: version(name) for name in ("llem-config", "llem-energy", "llem-runner")}


def _totals(entries: Sequence[ManifestEntry]) -> Totals:
    statuses = [entry.status for entry in entries]
    return Totals(**{name: statuses.count(name) for name in Totals.__struct_fields__})  # type: ignore[arg-type]  # its fields are the statuses


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
