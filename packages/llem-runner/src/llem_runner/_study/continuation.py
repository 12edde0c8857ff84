"""What `resume_study` continues from: the manifest, the runs of its study, and the valid results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from llem_config import StudyConfig
from llem_energy import MeasurementError, read_result
from llem_runner._errors import StudyError
from llem_runner._plan.schedule import PlannedRun, schedule
from llem_runner._storage.differences import (
    file_differences,
    study_differences,
    version_differences,
)
from llem_runner._storage.layout import RESULT, Layout
from llem_runner._storage.manifest import (
    ManifestEntry,
    StudyManifest,
    read_manifest,
    tool_versions,
)
from llem_runner._storage.manifest_writer import ManifestWriter

_PARQUET_MAGIC = b"PAR1"


def find_manifest(layout: Layout, study: StudyConfig) -> StudyManifest:
    """Read the manifest; make one if the study was killed before it wrote its first."""
    if layout.manifest.exists() or next(layout.folder.glob("[0-9]*_c[0-9]*"), None):
        return read_manifest(layout.folder)
    runs = schedule(study)
    writer = ManifestWriter.create(layout, study.name, study.study_design_hash, runs)
    return writer.manifest


def check_same_study(
    layout: Layout, study: StudyConfig, manifest: StudyManifest, expected: StudyConfig | None
) -> None:
    """Return if more runs of this study would be comparable with those in the folder.

    Args:
        layout: of the folder.
        study: that the folder was made from.
        manifest: of the folder.
        expected: the study that the caller expects; None: any.

    Raises:
        StudyError: they would not be; the message lists every difference.
    """
    if manifest.study_design_hash != study.study_design_hash:
        raise StudyError(
            f"{layout.folder}: study_resolved.json has the design hash {study.study_design_hash}, "
            f"the manifest has {manifest.study_design_hash}; these files belong to two studies"
        )
    lines = version_differences(manifest.versions, tool_versions())
    lines += study_differences(study, expected) if expected is not None else []
    lines += file_differences(study, manifest.directory)
    if lines:
        raise StudyError(
            f"{layout.folder} cannot be continued, because its runs would not be comparable. "
            "Differences (only cycles can be added):\n" + "\n".join(f"  {line}" for line in lines)
        )


def add_cycles(study: StudyConfig, cycles: int | None, expected: StudyConfig | None) -> StudyConfig:
    """Return the study with the number of cycles to reach.

    Args:
        study: that the folder was made from, with the cycles it has.
        cycles: to reach; None: those of `expected`, or no more than before.
        expected: the study that the caller expects, if any.

    Raises:
        StudyError: `cycles` is less than the study has.
    """
    before = study.execution.n_cycles
    if cycles is not None and cycles < before:
        raise StudyError(
            f"cycles: expected at least {before} (the study has {before}), found {cycles}; cycles "
            "can be added but not removed"
        )
    # A file with fewer is the one that the folder was made from, before cycles were added.
    in_file = expected.execution.n_cycles if expected is not None else before
    n_cycles = max(before, in_file) if cycles is None else cycles
    execution = study.execution.model_copy(update={"n_cycles": n_cycles})
    return study.model_copy(update={"execution": execution})


def number_runs(
    layout: Layout, study: StudyConfig, entries: Sequence[ManifestEntry]
) -> tuple[PlannedRun, ...]:
    """Return every run as numbered in the manifest, then the runs of cycles that it lacks.

    Added cycles come last in every cycle order, because the earlier runs are done.

    Raises:
        StudyError: the manifest has other runs than its study.
    """
    planned = schedule(study)
    open_runs = {(run.config_hash, run.cycle): run for run in planned}
    planned_before = [open_runs.pop((entry.config_hash, entry.cycle), None) for entry in entries]
    n_before = max((entry.cycle for entry in entries), default=0)
    numbered = [entry.index for entry in entries] == [*range(1, len(entries) + 1)]
    if not numbered or None in planned_before or any(cycle <= n_before for _, cycle in open_runs):
        raise StudyError(f"{layout.folder}: the manifest does not list the runs of its study")
    added = sorted(open_runs.values(), key=lambda run: (run.cycle, run.index))
    runs = [*(run for run in planned_before if run is not None), *added]
    return tuple(msgspec.structs.replace(run, index=index) for index, run in enumerate(runs, 1))


def valid_result(layout: Layout, manifest: StudyManifest, run: PlannedRun) -> Path | None:
    """Return the result file of a run that need not be repeated, or None.

    A crash between writing the result and the manifest leaves a `running` entry and a good result.
    """
    path = layout.run_folder(run) / RESULT
    if run.index > len(manifest.entries):
        return None
    if manifest.entries[run.index - 1].status not in ("completed", "running"):
        return None
    try:
        result = read_result(path)
    except MeasurementError:
        return None
    if result.timeseries_file and not _is_complete(path.parent / result.timeseries_file):
        return None
    return path if result.measurement_config_hash == run.config_hash else None


def _is_complete(timeseries: Path) -> bool:
    """Return whether a Parquet file is complete: it begins and ends with the same bytes."""
    try:
        with timeseries.open("rb") as file:
            file.seek(-len(_PARQUET_MAGIC), 2)
            return file.read() == _PARQUET_MAGIC
    except OSError:
        return False
