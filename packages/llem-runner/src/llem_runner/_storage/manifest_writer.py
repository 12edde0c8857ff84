"""Writes `manifest.json` at every change of a run, so that `resume_study` can continue from it."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from llem_config.foreign_files import ForeignFileError
from llem_runner._errors import StudyError
from llem_runner._outcome import Failed
from llem_runner._plan.schedule import PlannedRun
from llem_runner._provenance.start import new_start
from llem_runner._storage.atomic_files import encode_json, write_atomically
from llem_runner._storage.input_files import digest_inputs
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import (
    ManifestEntry,
    StudyManifest,
    StudyStatus,
    Totals,
    tool_versions,
)
from llem_runner._storage.result_files import KeptResult, digests_beside, sha256_of

_ENCODER = msgspec.json.Encoder()


class ManifestWriter:
    """Keeps the manifest on disk up to date; every change writes the whole file and syncs it.

    With 10,000 entries a change takes 8 ms of processor time, 4 of them for encoding the entries.
    """

    def __init__(
        self, layout: Layout, manifest: StudyManifest, *, executor: str | None = None
    ) -> None:
        """Continue a manifest that is on disk.

        Args:
            layout: of the study's folder.
            manifest: as it is on disk.
            executor: the name of what will measure the runs.
        """
        self._layout = layout
        self._executor = executor
        self._head = msgspec.structs.replace(manifest, schema_version=3, entries=())
        self._entries = {entry.index: entry for entry in manifest.entries}
        self._session = 1
        # On the monotonic clock, so they are known in this process only.
        self._started_s: float | None = None
        self._ended_s: float | None = None
        self._ended_index: int | None = None

    @classmethod
    def create(
        cls,
        layout: Layout,
        name: str,
        design_hash: str,
        runs: Sequence[PlannedRun],
        *,
        executor: str | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> ManifestWriter:
        """Write a new manifest with every run pending.

        Args:
            layout: of the study's folder.
            name: of the study.
            design_hash: of the study.
            runs: in the order of their entries; any part of a study, its indices may have gaps.
            executor: the name of what will measure the runs.
            overrides: what was set above the study file.
        """
        inputs = digest_inputs(layout)
        entries = tuple(_pending(run) for run in runs)
        started_at, host = _now(), platform.node()
        manifest = StudyManifest(
            study_name=name,
            study_design_hash=design_hash,
            versions=tool_versions(),
            host=host,
            pid=os.getpid(),
            status="running",
            started_at=started_at,
            ended_at=None,
            directory=str(Path.cwd()),
            study_file_sha256=inputs.study_file_sha256,
            resolved_sha256=inputs.resolved_sha256,
            overrides=dict(overrides) if overrides else None,
            starts=(new_start((), session=1, started_at=started_at, host=host),),
            totals=_count(entries),
            entries=entries,
        )
        writer = cls(layout, manifest, executor=executor)
        writer.write()
        return writer

    @property
    def manifest(self) -> StudyManifest:
        """Return the state as it is on disk."""
        entries = tuple(self._entries.values())
        return msgspec.structs.replace(self._head, entries=entries, totals=_count(entries))

    @property
    def totals(self) -> Totals:
        """Return how many runs are in each state."""
        return _count(self._entries.values())

    @property
    def first_temperatures_c(self) -> dict[str, float] | None:
        """Return the temperature of each GPU before the study's first run, by UUID."""
        return self._head.first_temperatures_c

    @property
    def n_planned(self) -> int:
        """Return how many runs the study has."""
        return len(self._entries)

    def entry(self, run: PlannedRun) -> ManifestEntry:
        """Return the entry of a run."""
        return self._entries[run.index]

    def reopen(self, kept: Mapping[int, KeptResult], runs: Sequence[PlannedRun]) -> None:
        """Start again: runs with a good result are completed, all others pending.

        The input files in the folder count as those of the study from here on.

        Args:
            kept: the good results, by index.
            runs: all runs of the study; those without an entry get one.
        """
        looks = self._looks(runs)
        self._session = 1 + max((e.session or 1 for e in self._entries.values()), default=0)
        for run in runs:
            old = self._entries.get(run.index) or _pending(run)
            # New points have other fields in which they differ from the others.
            old = msgspec.structs.replace(old, label=run.label)
            if run.index in kept:
                result = kept[run.index]
                self._entries[run.index] = msgspec.structs.replace(
                    old,
                    status="completed",
                    result_file=self._layout.relative(result.path),
                    result_sha256=result.sha256,
                    # A crash may have come between the result and the manifest.
                    files_sha256=old.files_sha256
                    if old.status == "completed"
                    else digests_beside(result.path),
                )
            else:
                self._entries[run.index] = _pending(run, attempts=old.attempts)
        inputs = digest_inputs(self._layout)
        host = platform.node()
        earlier = tuple(each for each in self._head.starts if each.session != self._session)
        start = new_start(earlier, session=self._session, started_at=_now(), host=host)
        self._head = msgspec.structs.replace(
            self._head,
            status="running",
            ended_at=None,
            host=host,
            starts=(*earlier, start),
            pid=os.getpid(),
            input_changes=(),
            looks=looks,
            study_result_sha256=None,
            study_file_sha256=inputs.study_file_sha256,
            resolved_sha256=inputs.resolved_sha256,
        )
        self.write()

    def _looks(self, runs: Sequence[PlannedRun]) -> tuple[int, ...]:
        """Return the earlier looks, and one more if cycles are added to results."""
        n_cycles = max((entry.cycle for entry in self._entries.values()), default=0)
        completed = {e.cycle for e in self._entries.values() if e.status == "completed"}
        if completed and max(run.cycle for run in runs) > n_cycles:
            return (*self._head.looks, len(completed))
        return self._head.looks

    def mark_running(
        self, run: PlannedRun, gpu_temperatures_c: dict[str, float] | None = None
    ) -> None:
        """Save the start of a run, and the temperatures of the GPUs by UUID."""
        temperatures_c = gpu_temperatures_c or None
        self._started_s = time.perf_counter()
        earlier = self._entries[run.index]
        gap_s = None if self._ended_s is None else self._started_s - self._ended_s
        if gap_s is not None and self._ended_index == run.index:
            gap_s += (earlier.gap_s or 0.0) + (earlier.run_s or 0.0)
        if self._head.first_temperatures_c is None and temperatures_c:
            self._head = msgspec.structs.replace(self._head, first_temperatures_c=temperatures_c)
        self._entries[run.index] = msgspec.structs.replace(
            _pending(run, attempts=self._entries[run.index].attempts + 1),
            status="running",
            started_at=_now(),
            gpu_temperatures_c=temperatures_c,
            gap_s=gap_s,
            executor=self._executor,
            session=self._session,
        )
        self.write()

    def mark_completed(self, run: PlannedRun, result: Path) -> None:
        """Save the end of a run whose result is already on disk.

        Raises:
            StudyError: the result is not there.
        """
        try:
            digest = sha256_of(result)
        except ForeignFileError as error:
            problem = f"{result} is not on disk ({error})"
            raise StudyError(f"run {run.index} cannot be marked completed: {problem}") from error
        self._end(
            run,
            status="completed",
            result_file=self._layout.relative(result),
            result_sha256=digest,
            files_sha256=digests_beside(result),
        )

    def mark_failed(self, run: PlannedRun, failure: Failed) -> None:
        """Save the end of a run without a result."""
        self._end(
            run,
            status="failed",
            error_type=failure.error_type,
            error_message=failure.message,
            error_reason=failure.reason,
            error_log=failure.log_tail or None,
        )

    def mark_interrupted(self, run: PlannedRun) -> None:
        """Save the end of a run that was stopped on request."""
        self._end(run, status="interrupted")

    def add_input_changes(self, changes: Iterable[str]) -> None:
        """Save that the files that the runs read have changed; written with the next change."""
        known = self._head.input_changes
        new = tuple(change for change in changes if change not in known)
        self._head = msgspec.structs.replace(self._head, input_changes=known + new)

    def finish(self, status: StudyStatus) -> None:
        """Save the end of the study. A run that is still open, after an error, is interrupted."""
        for entry in list(self._entries.values()):
            if entry.status == "running":
                self._replace(
                    entry, status="interrupted", ended_at=_now(), run_s=self._run_s(entry.index)
                )
        self._head = msgspec.structs.replace(self._head, status=status, ended_at=_now())
        self.write()

    def record_study_result(self, content: bytes) -> None:
        """Save the digest of `study_result.json`, after the file itself."""
        digest = hashlib.sha256(content).hexdigest()
        self._head = msgspec.structs.replace(self._head, study_result_sha256=digest)
        self.write()

    def _end(self, run: PlannedRun, **changes: object) -> None:
        run_s = self._run_s(run.index)
        self._replace(self._entries[run.index], ended_at=_now(), run_s=run_s, **changes)
        self.write()

    def _run_s(self, index: int) -> float | None:
        """Return how long the run that ends now took; the wall clock may have been set since."""
        self._ended_s, self._ended_index = time.perf_counter(), index
        return None if self._started_s is None else self._ended_s - self._started_s

    def _replace(self, entry: ManifestEntry, **changes: object) -> None:
        self._entries[entry.index] = msgspec.structs.replace(entry, **changes)

    def write(self) -> None:
        """Write the manifest as it is."""
        write_atomically(self._layout.manifest, encode_manifest(self.manifest))


def encode_manifest(manifest: StudyManifest) -> bytes:
    """Return the content of the file of a manifest."""
    text = encode_json(msgspec.structs.replace(manifest, entries=()))
    if not manifest.entries:
        return text
    # One line per entry: JSON has no line break inside a value. Nothing is copied more often than
    # necessary, because 50,000 entries have 40 MB.
    between = b",\n    "
    lines = memoryview(_ENCODER.encode_lines(manifest.entries).replace(b"\n", between))
    start, _, end = text.rpartition(b"[]")  # the entries, which are the last field
    return b"".join((start, b"[\n    ", lines[: -len(between)], b"\n  ]", end))


def _count(entries: Iterable[ManifestEntry]) -> Totals:
    counts: Counter[str] = Counter(entry.status for entry in entries)
    return Totals(**{name: counts[name] for name in Totals.__struct_fields__})


def _pending(run: PlannedRun, attempts: int = 0) -> ManifestEntry:
    return ManifestEntry(
        index=run.index,
        cycle=run.cycle,
        config_hash=run.config_hash,
        label=run.label,
        attempts=attempts,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
