"""The structs of `manifest.json`: every planned run and its state."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from llem_runner._outcome import Reason
from llem_runner._storage.atomic_files import read_json
from llem_runner._storage.layout import Layout
from llem_runner._storage.study_folder import check_study_folder

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
    """Relative to the study's folder; only for a completed run."""
    error_type: str | None = None
    error_message: str | None = None
    error_reason: Reason | None = None
    """Why there is no result; always None in a file of format 1."""
    error_log: str | None = None
    """The last lines of the log."""
    started_at: str | None = None
    ended_at: str | None = None
    attempts: int = 0
    gpu_temperatures_c: dict[str, float] | None = None
    """By UUID, just before the run; None without a GPU, and before the run has started."""


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
    """The process that runs the study. If it is dead, a `running` entry is out of date."""
    status: StudyStatus
    """`failed`: the last run was reached, but some run failed."""
    started_at: str
    ended_at: str | None
    directory: str | None = None
    """The working directory in which the study was started; relative paths in it start there."""
    first_temperatures_c: dict[str, float] | None = None
    """Of each GPU by UUID, just before the study's first run; gaps may wait until GPUs are as
    cool again."""
    totals: Totals
    entries: tuple[ManifestEntry, ...]


def read_manifest(folder: str | Path) -> StudyManifest:
    """Read the manifest of a study folder.

    Raises:
        StudyError: not a study folder, or there is no manifest, or it is damaged.
    """
    check_study_folder(Path(folder))
    return read_json(Layout(Path(folder)).manifest, StudyManifest)


def tool_versions() -> dict[str, str]:
    """Return the versions of the packages that write a study's files."""
    return {name: version(name) for name in ("llem-config", "llem-energy", "llem-runner")}
