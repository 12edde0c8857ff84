"""Going on with a study where it stopped: completed runs are kept, everything else runs again."""

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
from llem_runner._events import Cautioned, ignore
from llem_runner._executors.measure import Measure
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
from llem_runner._study.preparation import check_caller, fill_gaps, gpus_to_watch, isolated
from llem_runner._study.runner import OnEvent, StudyRunner

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
    retry: int = 0,
    time_limit_s: float | None = None,
    wait: bool = False,
) -> StudyResult:
    """Run what is left of a study folder and return the record of the whole study.

    A run is kept if its result is on disk, can be read, and is of its own experiment. All others
    are executed, with their attempts counted; a result that was not good is kept as `.old`.

    Args:
        folder: made by `run_study`; it may have been moved.
        config: the study that the folder is expected to be of. Its cycles may be more; anything
            else that differs is refused. None takes the folder's word.
        cycles: repeats of every experiment from now on; more than before are added at the end.
        on_event: as in `run_study`.
        control: as in `run_study`.
        measure: as in `run_study`.
        settings: as in `run_study`; the gaps stay those that the folder was begun with.
        retry: as in `run_study`.
        time_limit_s: as in `run_study`.
        wait: as in `run_study`; a folder in use is an error all the same.

    Raises:
        StudyError: no study folder, damaged, of another design, or in use (`StudyLocked`).
        PreflightError: the study cannot run on this machine.
    """
    check_caller(measure)
    layout = Layout(Path(folder))
    machine = find_machine(settings)
    study = fill_gaps(read_study(layout), machine.settings)
    asked = load_study(config) if isinstance(config, str | Path) else config
    # The lock first: what the manifest says is true only while nobody else can change it.
    with (
        hold(layout.lock, str(layout.folder)),
        Control.owned(control) as stop,
        Limits(stop, retry=retry, time_limit_s=time_limit_s) as limits,
    ):
        manifest = _manifest(layout, study)
        _same_study(layout, study, manifest, asked)
        study = _topped_up(study, cycles, asked)
        runs = _runs(layout, study, manifest.entries)
        preflight = check(study, layout.folder, machine)
        for warning in preflight.warnings:
            (on_event or ignore)(Cautioned(warning))
        gpus = gpus_used(study.experiments, machine)
        with hold_gpus(gpus, Queue(stop, on_event or ignore) if wait else None):
            remove_scratch(layout.folder)
            layout.write_study(study)  # before the manifest gets the runs that it says
            kept = {run.index: path for run in runs if (path := _intact(layout, manifest, run))}
            writer = ManifestWriter(layout, manifest)
            layout.study_result.unlink(missing_ok=True)  # no longer true
            writer.reopen(kept, runs)
            runner = StudyRunner(
                study,
                layout,
                writer,
                settings=machine.settings,
                control=stop,
                on_event=on_event or ignore,
                measure=measure,
                limits=limits,
                gpus=gpus_to_watch(gpus, machine),
                expected_failures=preflight.expected_failures,
            )
            left = [run for run in runs if run.index not in kept]
            return runner.run(left, isolated=isolated(study, writer, limits))


def _manifest(layout: Layout, study: StudyConfig) -> StudyManifest:
    """Read the manifest, or make the one that a kill in the very first moment has prevented."""
    if layout.manifest.exists() or next(layout.folder.glob("[0-9]*_c[0-9]*"), None):
        return read_manifest(layout.folder)
    runs = schedule(study)
    writer = ManifestWriter.create(layout, study.name, study.study_design_hash, runs)
    return writer.manifest


def _same_study(
    layout: Layout, study: StudyConfig, manifest: StudyManifest, asked: StudyConfig | None
) -> None:
    if manifest.study_design_hash != study.study_design_hash:
        raise StudyError(
            f"{layout.folder}: study_resolved.json has the design hash {study.study_design_hash}, "
            f"the manifest has {manifest.study_design_hash}; they are not of the same study"
        )
    lines = version_differences(manifest.versions, tool_versions())
    lines += study_differences(study, asked) if asked is not None else []
    lines += file_differences(study, manifest.directory)
    if lines:
        raise StudyError(
            f"{layout.folder} cannot be continued: its runs would not be comparable. What differs "
            "(only cycles may be added):\n" + "\n".join(f"  {line}" for line in lines)
        )


def _topped_up(study: StudyConfig, cycles: int | None, asked: StudyConfig | None) -> StudyConfig:
    before = study.execution.n_cycles
    if cycles is not None and cycles < before:
        raise StudyError(
            f"the study has {before} cycles, {cycles} are asked for; cycles can be added, "
            "not taken away"
        )
    # A file with fewer is the one that the folder was begun with, before cycles were added.
    in_file = asked.execution.n_cycles if asked is not None else before
    n_cycles = max(before, in_file) if cycles is None else cycles
    execution = study.execution.model_copy(update={"n_cycles": n_cycles})
    return study.model_copy(update={"execution": execution})


def _runs(
    layout: Layout, study: StudyConfig, entries: Sequence[ManifestEntry]
) -> tuple[PlannedRun, ...]:
    """Return every run as the manifest numbers it, then those of cycles that it does not have yet.

    Cycles that are added come last whatever the order of the study, since what has run has run.
    """
    planned = schedule(study)
    open_runs = {(run.config_hash, run.cycle): run for run in planned}
    known = [open_runs.pop((entry.config_hash, entry.cycle), None) for entry in entries]
    n_before = max((entry.cycle for entry in entries), default=0)
    numbered = [entry.index for entry in entries] == [*range(1, len(entries) + 1)]
    if not numbered or None in known or any(cycle <= n_before for _, cycle in open_runs):
        raise StudyError(f"{layout.folder}: the manifest does not hold the runs of its study")
    added = sorted(open_runs.values(), key=lambda run: (run.cycle, run.index))
    runs = [*(run for run in known if run is not None), *added]
    return tuple(msgspec.structs.replace(run, index=index) for index, run in enumerate(runs, 1))


def _intact(layout: Layout, manifest: StudyManifest, run: PlannedRun) -> Path | None:
    """Return the result of a run that need not be made again, or None.

    A crash between writing a result and booking it leaves a `running` entry beside a good result.
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
    """Tell whether a Parquet file was written to its end, where it says so once more."""
    try:
        with timeseries.open("rb") as file:
            file.seek(-len(_PARQUET_MAGIC), 2)
            return file.read() == _PARQUET_MAGIC
    except OSError:
        return False
