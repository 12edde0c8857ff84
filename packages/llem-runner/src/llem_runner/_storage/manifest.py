"""The structs of `manifest.json`: every planned run and its state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import msgspec

from llem_config.foreign_files import shown
from llem_runner._errors import StudyError
from llem_runner._outcome import Reason
from llem_runner._provenance.start import Start
from llem_runner._storage.atomic_files import read_json
from llem_runner._storage.layout import Layout, extension_file
from llem_runner._storage.resolved_digest import resolved_digest
from llem_runner._storage.stored_values import SHARDS, is_instant, is_result_of_run

MAX_RUNS = 10_000_000
_MAX_SECONDS = 1e9
_MAX_TEMPERATURE_C = 1000.0

RunStatus = Literal["pending", "running", "completed", "failed", "interrupted"]
StudyStatus = Literal["running", "completed", "failed", "interrupted", "aborted"]


class ManifestEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One planned run."""

    index: int
    """Position of the run in the study, from 1."""
    cycle: int
    """Which repeat of the study the run belongs to, from 1."""
    shard: int | None = None
    """Number of the part of a merged or divided study, from 1; None in any other study."""
    config_hash: str
    """`measurement_config_hash` of the point."""
    label: str
    """The fields in which the point differs from the others."""
    status: RunStatus = "pending"
    """State of the run."""
    result_file: str | None = None
    """Relative to the study's folder; only for a completed run."""
    error_type: str | None = None
    """Class of the error of a failed run."""
    error_message: str | None = None
    """Message of the error of a failed run."""
    error_reason: Reason | None = None
    """Why there is no result; always None in a file of format 1."""
    error_log: str | None = None
    """The last lines of the log."""
    executor: str | None = None
    """What measured the run; None before it has started, and in a file of format 1 or 2."""
    result_sha256: str | None = None
    """Of the result file as it was written; None if there is none, and in a file of format 1 or
    2."""
    files_sha256: dict[str, str] = {}
    """SHA-256 of the files beside the result, such as `timeseries.parquet`, by name; empty if there
    are none, and in a file without this field."""
    started_at: str | None = None
    """Start of the last attempt in UTC, ISO 8601."""
    ended_at: str | None = None
    """End of the last attempt in UTC, ISO 8601."""
    run_s: float | None = None
    """How long the last attempt took, by the monotonic clock; None in a file of format 1 or 2."""
    gap_s: float | None = None
    """Time from the end of the run before it to the start of the last attempt, earlier attempts
    included; None for the first run of a study or of a resume."""
    session: int | None = None
    """Which start of the study made the last attempt: 1 for `study run`, 2 for the first resume that
    ran something; None before the run has started, and in a file without it. In a divided study the
    number of the attempt at the shard."""
    attempts: int = 0
    """Number of times that the run was started."""
    gpu_temperatures_c: dict[str, float] | None = None
    """By UUID, just before the run; None without a GPU, and before the run has started."""


class Extension(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points that were added to a study, in cycles of their own."""

    first_cycle: int
    last_cycle: int
    started_at: str
    """In UTC, ISO 8601."""
    study_file: str | None
    """Name in the folder of the study file with the points; None if they came from Python."""
    study_file_sha256: str | None
    new_points: tuple[str, ...]
    """`measurement_config_hash` of each."""
    anchors: tuple[str, ...]
    """Of the earlier points that are measured again in these cycles."""
    is_open: bool = False
    """Whether the study was not yet rewritten: a crash may have come before or after that."""
    study_design_hash: str
    """Of the study with the new points."""
    resolved_sha256: str | None
    """Of `study_resolved.json` with the new points, like that of the study."""


class Totals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many runs are in each state."""

    pending: int
    running: int
    completed: int
    failed: int
    interrupted: int


class StudyManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of a study on disk.

    Format 1 had no `error_reason`, `error_log` and temperatures; format 2 adds them. Format 3 adds
    the digests of files, the executor, the overrides and the durations of runs.
    """

    schema_version: Literal[1, 2, 3] = 3
    study_name: str
    """Name of the study."""
    study_design_hash: str
    """Hash of the set of points of the study."""
    versions: dict[str, str]
    host: str
    pid: int
    """The process that runs the study. If it is dead, a `running` entry is out of date."""
    status: StudyStatus
    """`failed`: the last run was reached, but some run failed."""
    started_at: str
    ended_at: str | None
    directory: str | None = None
    """The working directory in which the study was started; relative paths in it start there."""
    study_file_sha256: str | None = None
    """Of the folder's `study.yaml` when the study was started; None if there is none."""
    resolved_sha256: str | None = None
    """Of the folder's `study_resolved.json` as canonical JSON without the number of cycles, to
    which a resume may add; None in a file of format 1 or 2."""
    study_result_sha256: str | None = None
    """Of `study_result.json` as the study wrote it at its end."""
    overrides: dict[str, Any] | None = None
    """What was set above the study file, such as flags; None if nothing was."""
    input_changes: tuple[str, ...] = ()
    """A sentence for each model, adapter or data set that changed between runs."""
    looks: tuple[int, ...] = ()
    """Number of cycles with results each time a resume added cycles: a person could have seen the
    results and added cycles because of them."""
    first_temperatures_c: dict[str, float] | None = None
    """Of each GPU by UUID, just before the study's first run; gaps may wait until GPUs are as
    cool again."""
    shards: tuple[str, ...] = ()
    """Of a merged study: the names of the folders that it was merged from; shard n is the n-th. Of a
    divided study: the folders of its shards, such as `shards/0007`."""
    n_superseded: int = 0
    """Number of results of a divided study that do not count, because an earlier attempt at the shard
    has a result of the same run."""
    starts: tuple[Start, ...] = ()
    """Command line, code and packages of each start of the study; empty in a file without it."""
    extensions: tuple[Extension, ...] = ()
    """Each time points were added; empty in a file without it."""
    totals: Totals
    entries: tuple[ManifestEntry, ...]

    @property
    def is_divided(self) -> bool:
        """Return whether several processes run the study, each in folders of its own."""
        return any(name.startswith(f"{SHARDS}/") for name in self.shards)


def read_manifest_file(path: Path) -> StudyManifest:
    """Read a file `manifest.json`.

    If a crash interrupted an extension, the manifest is that of the study which is on disk.

    Raises:
        StudyError: there is none, or it is damaged.
    """
    manifest = read_json(path, StudyManifest)
    if problem := next(_problems(manifest), None):
        raise StudyError(f"{path} is damaged: {problem}; restore it from a copy")
    return _settled(manifest, Layout(path.parent))


def _settled(manifest: StudyManifest, layout: Layout) -> StudyManifest:
    """Return the manifest without an open extension: it has taken place, or not."""
    if not manifest.extensions or not manifest.extensions[-1].is_open:
        return manifest
    *earlier, last = manifest.extensions
    if resolved_digest(layout) != last.resolved_sha256:
        return msgspec.structs.replace(manifest, extensions=tuple(earlier))
    closed = msgspec.structs.replace(last, is_open=False)
    return msgspec.structs.replace(
        manifest,
        extensions=(*earlier, closed),
        study_design_hash=last.study_design_hash,
        resolved_sha256=last.resolved_sha256,
    )


def _problems(manifest: StudyManifest) -> Iterator[str]:
    """Yield what is wrong with the values of a manifest, each with its field."""
    yield from _wrong_dates(manifest, "")
    yield from _wrong_temperatures(manifest.first_temperatures_c, "first_temperatures_c")
    yield from wrong_extensions(manifest.extensions)
    seen: set[int] = set()
    for number, entry in enumerate(manifest.entries):
        where = f"entries[{number}]."
        for name in ("index", "cycle", "attempts"):
            value, minimum = getattr(entry, name), 0 if name == "attempts" else 1
            if not minimum <= value <= MAX_RUNS:
                yield f"{where}{name}: expected {minimum} to {MAX_RUNS}, found {shown(value)}"
        if entry.session is not None and not 1 <= entry.session <= MAX_RUNS:
            yield f"{where}session: expected 1 to {MAX_RUNS}, found {shown(entry.session)}"
        if entry.shard is not None and not 1 <= entry.shard <= len(manifest.shards):
            yield f"{where}shard: expected 1 to {len(manifest.shards)}, found {shown(entry.shard)}"
        if entry.index in seen:
            yield f"{where}index: expected each run once, found {shown(entry.index)} twice"
        seen.add(entry.index)
        yield from _wrong_dates(entry, where)
        for name in ("run_s", "gap_s"):
            seconds = getattr(entry, name)
            if seconds is not None and not 0 <= seconds <= _MAX_SECONDS:
                yield f"{where}{name}: expected 0 to {_MAX_SECONDS:g} s, found {seconds:g}"
        yield from _wrong_temperatures(entry.gpu_temperatures_c, f"{where}gpu_temperatures_c")
        if entry.result_file is not None and not is_result_of_run(entry.result_file):
            yield (
                f"{where}result_file: expected the result of a run in this folder, found "
                f"{shown(entry.result_file)}"
            )


def wrong_extensions(extensions: Sequence[Extension]) -> Iterator[str]:
    """Yield what is wrong with the names of files in the records of added points."""
    for number, extension in enumerate(extensions, 1):
        # The name is opened, so it may not lead elsewhere.
        if extension.study_file not in (None, extension_file(number)):
            found = shown(extension.study_file or "")
            yield f"extensions[{number - 1}].study_file: expected a name of llem, found {found}"


def _wrong_dates(record: StudyManifest | ManifestEntry, where: str) -> Iterator[str]:
    for name in ("started_at", "ended_at"):
        text = getattr(record, name)
        if text is not None and not is_instant(text):
            yield f"{where}{name}: expected a date and time with an offset, found {shown(text)}"


def _wrong_temperatures(temperatures_c: dict[str, float] | None, where: str) -> Iterator[str]:
    for gpu, value_c in (temperatures_c or {}).items():
        if abs(value_c) > _MAX_TEMPERATURE_C:
            yield f"{where}[{shown(gpu)}]: expected a temperature in C, found {value_c:g}"


def tool_versions() -> dict[str, str]:
    """Return the versions of the packages that write a study's files."""
    return {name: version(name) for name in ("llem-config", "llem-energy", "llem-runner")}
