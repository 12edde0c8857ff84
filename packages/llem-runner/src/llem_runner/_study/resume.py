"""`resume_study`: continue a study where it stopped. Completed runs are kept, all others run."""

from __future__ import annotations

from pathlib import Path

from llem_config import Settings, StudyConfig
from llem_energy import measure as default_measure
from llem_energy.preflight import find_machine
from llem_runner._control import Control
from llem_runner._events import OnEvent
from llem_runner._executors.protocol import Executor
from llem_runner._executors.task import Measure
from llem_runner._storage.layout import Layout
from llem_runner._storage.lock import hold
from llem_runner._storage.study_reader import read_study
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.continuation import (
    add_cycles,
    check_input_files,
    check_same_study,
    check_undivided,
    expected_study,
    find_manifest,
)
from llem_runner._study.limits import Limits
from llem_runner._study.preparation import check_caller, fill_gaps
from llem_runner._study.progress_lines import with_progress
from llem_runner._study.restart import restart
from llem_runner._study.session import Caller


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
    progress: bool = False,
) -> StudyResult:
    """Run the remaining runs of a study folder, and return the record of the whole study.

    A run is kept if its result is on disk, can be read, and belongs to its experiment. All others
    are executed, and their attempts counted; a result that is not valid is kept as `.old`.

    Args:
        folder: made by `run_study`; it may have been moved.
        config: the study that the folder was made from. It may have more cycles; any other
            difference is an error. A file is loaded with the overrides, such as flags, with which
            the study was started. None: do not check.
        cycles: number of cycles, if more than before; the new ones run at the end.
        on_event: as in `run_study`.
        control: as in `run_study`.
        measure: as in `run_study`.
        settings: as in `run_study`; the gaps stay those of the folder.
        executor: as in `run_study`.
        retry: as in `run_study`.
        time_limit_s: as in `run_study`.
        wait: as in `run_study`; a folder in use is still an error.
        progress: as in `run_study`.

    Raises:
        StudyError: not a study folder, or a damaged one; another study; in use (`StudyLocked`).
        PreflightError: the study cannot run on this machine.
    """
    check_caller(measure)
    layout = Layout(Path(folder))
    check_undivided(layout.folder)
    machine = find_machine(settings)
    study = fill_gaps(read_study(layout.folder), machine.settings)
    on_event = with_progress(on_event, progress)
    # The lock first: the manifest is reliable only while no other process can change it.
    with (
        hold(layout.lock, str(layout.folder)),
        Control.owned(control) as stop,
        Limits(stop, retry=retry, time_limit_s=time_limit_s) as limits,
    ):
        manifest = find_manifest(layout, study)
        expected = expected_study(config, study, manifest)
        check_same_study(layout, study, manifest, expected)
        warnings = check_input_files(layout, study, manifest)
        study = add_cycles(study, cycles, expected)
        caller = Caller(machine, stop, limits, on_event, measure, executor, wait)
        return restart(layout, study, manifest, caller, warnings)
