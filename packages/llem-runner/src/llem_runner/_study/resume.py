"""`resume_study`: continue a study where it stopped. Completed runs are kept, all others run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from llem_config import Settings, StudyConfig, load_study
from llem_energy import MeasurementError, read_result
from llem_energy import measure as default_measure
from llem_energy.preflight import find_machine, gpus_used
from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._events import OnEvent, PreflightWarning, ignore
from llem_runner._executors.protocol import Executor
from llem_runner._executors.task import Measure
from llem_runner._gpus.locks import Queue, hold_gpus
from llem_runner._plan.schedule import PlannedRun, schedule
from llem_runner._storage.atomic_files import remove_scratch
from llem_runner._storage.differences import (
    file_differences,
    study_differences,
    version_differences,
)
from llem_runner._storage.layout import RESULT, Layout
from llem_runner._storage.lock import hold
from llem_runner._storage.manifest import (
    ManifestEntry,
    ManifestWriter,
    StudyManifest,
    read_manifest,
    tool_versions,
)
from llem_runner._storage.study_reader import read_study
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.limits import Limits
from llem_runner._study.preflight import check
from llem_runner._study.preparation import (
    check_caller,
    choose_executor,
    fill_gaps,
    gpus_to_watch,
)
from llem_runner._study.runner import StudyRunner

_PARQUET_MAGIC = b"PAR1"


def resume_study(
    folder: str | Path,
    *,
    config: str | Path | StudyConfig | None = None,
    cycles: int | None = None,
    on_event: OnEvent | None = None,
    control: Control | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
    executor: Executor | None = None,
    retry: int = 0,
    time_limit_s: float | None = None,
    wait: bool = False,
) -> StudyResult:
    """Run the remaining runs of a study folder, and return the record of the whole study.

    A run is kept if its result is on disk, can be read, and belongs to its experiment. All others
    are executed, and their attempts counted; a result that is not valid is kept as `.old`.

    Args:
        folder: made by `run_study`; it may have been moved.
        config: the study that the folder was made from. It may have more cycles; any other
            difference is an error. None: do not check.
        cycles: number of cycles, if more than before; the new ones run at the end.
        on_event: as in `run_study`.
        control: as in `run_study`.
        measure: as in `run_study`.
        settings: as in `run_study`; the gaps stay those of the folder.
        executor: as in `run_study`.
        retry: as in `run_study`.
        time_limit_s: as in `run_study`.
        wait: as in `run_study`; a folder in use is still an error.

    Raises:
        StudyError: not a study folder, or a damaged one; another study; in use (`StudyLocked`).
        PreflightError: the study cannot run on this machine.
    """
    check_caller(measure)
    layout = Layout(Path(folder))
    machine = find_machine(settings)
    study = fill_gaps(read_study(layout), machine.settings)
    expected = load_study(config) if isinstance(config, str | Path) else config
    # The lock first: the manifest is reliable only while no other process can change it.
    with (
        hold(layout.lock, str(layout.folder)),
        Control.owned(control) as stop,
        Limits(stop, retry=retry, time_limit_s=time_limit_s) as limits,
    ):
        manifest = _manifest(layout, study)
        _check_same_study(layout, study, manifest, expected)
        study = _with_cycles(study, cycles, expected)
        runs = _runs(layout, study, manifest.entries)
        preflight = check(study, layout.folder, machine)
        for warning in preflight.warnings:
            (on_event or ignore)(PreflightWarning(warning))
        gpus = gpus_used(study.experiments, machine)
        chosen = choose_executor(executor, study, machine.settings, len(runs), limits)
        with hold_gpus(gpus, Queue(stop, on_event or ignore) if wait else None):
            remove_scratch(layout.folder)
            # Before the manifest, which gets the runs of the added cycles.
            layout.write_study(study)
            kept = {run.index: path for run in runs if (path := _intact(layout, manifest, run))}
            writer = ManifestWriter(layout, manifest)
            layout.study_result.unlink(missing_ok=True)  # out of date from here on
            writer.reopen(kept, runs)
            runner = StudyRunner(
                study,
                layout,
                writer,
                executor=chosen,
                settings=machine.settings,
                control=stop,
                on_event=on_event or ignore,
                measure=measure,
                limits=limits,
                gpus=gpus_to_watch(gpus, machine),
                expected_failures=preflight.expected_failures,
            )
            return runner.run([run for run in runs if run.index not in kept])


def _manifest(layout: Layout, study: StudyConfig) -> StudyManifest:
    """Read the manifest; make one if the study was killed before it wrote its first."""
    if layout.manifest.exists() or next(layout.folder.glob("[0-9]*_c[0-9]*"), None):
        return read_manifest(layout.folder)
    runs = schedule(study)
    writer = ManifestWriter.create(layout, study.name, study.study_design_hash, runs)
    return writer.manifest


def _check_same_study(
    layout: Layout, study: StudyConfig, manifest: StudyManifest, expected: StudyConfig | None
) -> None:
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


def _with_cycles(
    study: StudyConfig, cycles: int | None, expected: StudyConfig | None
) -> StudyConfig:
    before = study.execution.n_cycles
    if cycles is not None and cycles < before:
        raise StudyError(
            f"cycles: expected at least {before}, which the study has, found {cycles}; cycles can "
            "be added but not removed"
        )
    # A file with fewer is the one that the folder was made from, before cycles were added.
    in_file = expected.execution.n_cycles if expected is not None else before
    n_cycles = max(before, in_file) if cycles is None else cycles
    execution = study.execution.model_copy(update={"n_cycles": n_cycles})
    return study.model_copy(update={"execution": execution})


def _runs(
    layout: Layout, study: StudyConfig, entries: Sequence[ManifestEntry]
) -> tuple[PlannedRun, ...]:
    """Return every run as numbered in the manifest, then the runs of cycles that it lacks.

    Added cycles come last in every cycle order, because the earlier runs are done.
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


def _intact(layout: Layout, manifest: StudyManifest, run: PlannedRun) -> Path | None:
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
    if result.timeseries_file and not _is_whole(path.parent / result.timeseries_file):
        return None
    return path if result.measurement_config_hash == run.config_hash else None


def _is_whole(timeseries: Path) -> bool:
    """Return whether a Parquet file is complete: it begins and ends with the same bytes."""
    try:
        with timeseries.open("rb") as file:
            file.seek(-len(_PARQUET_MAGIC), 2)
            return file.read() == _PARQUET_MAGIC
    except OSError:
        return False
