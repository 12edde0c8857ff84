"""`resume_study`: continue a study where it stopped. Completed runs are kept, all others run."""

from __future__ import annotations

from pathlib import Path

from llem_config import Settings, StudyConfig
from llem_energy import measure as default_measure
from llem_runner._control import Control
from llem_runner._events import OnEvent
from llem_runner._executors.protocol import Executor
from llem_runner._executors.task import Measure
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.continuation import (
    CONTINUE_SHARDS,
    check_input_files,
    check_same_study,
    expected_study,
    with_cycles,
)
from llem_runner._study.opening import opened_study
from llem_runner._study.restart import restart


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
    with opened_study(
        folder,
        CONTINUE_SHARDS,
        on_event=on_event,
        control=control,
        measure=measure,
        settings=settings,
        executor=executor,
        retry=retry,
        time_limit_s=time_limit_s,
        wait=wait,
        progress=progress,
    ) as (layout, study, manifest, caller):
        expected = expected_study(config, study, manifest)
        check_same_study(layout, study, manifest, expected)
        warnings = check_input_files(layout, study, manifest)
        study = with_cycles(study, cycles, expected)
        return restart(layout, study, manifest, caller, warnings)
