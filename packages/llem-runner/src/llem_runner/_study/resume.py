"""`resume_study`: continue a study where it stopped. Completed runs are kept, all others run."""

from __future__ import annotations

from pathlib import Path

from llem_config import Settings, StudyConfig, load_study
from llem_energy import measure as default_measure
from llem_energy.preflight import find_machine, gpus_used
from llem_runner._control import Control
from llem_runner._events import OnEvent, PreflightWarning, ignore
from llem_runner._executors.protocol import Executor
from llem_runner._executors.task import Measure
from llem_runner._gpus.locks import Queue, hold_gpus
from llem_runner._storage.atomic_files import remove_scratch
from llem_runner._storage.layout import Layout
from llem_runner._storage.lock import hold
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._storage.study_reader import read_study
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.continuation import (
    add_cycles,
    check_same_study,
    find_manifest,
    number_runs,
    valid_result,
)
from llem_runner._study.limits import Limits
from llem_runner._study.preflight import check
from llem_runner._study.preparation import (
    check_caller,
    choose_executor,
    fill_gaps,
    gpus_to_watch,
)
from llem_runner._study.runner import StudyRunner


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
        manifest = find_manifest(layout, study)
        check_same_study(layout, study, manifest, expected)
        study = add_cycles(study, cycles, expected)
        runs = number_runs(layout, study, manifest.entries)
        preflight = check(study, layout.folder, machine)
        for warning in preflight.warnings:
            (on_event or ignore)(PreflightWarning(warning))
        gpus = gpus_used(study.experiments, machine)
        chosen = choose_executor(executor, study, machine.settings, len(runs), limits)
        with hold_gpus(gpus, Queue(stop, on_event or ignore) if wait else None):
            remove_scratch(layout.folder)
            # Before the manifest, which gets the runs of the added cycles.
            layout.write_study(study)
            kept = {
                run.index: path for run in runs if (path := valid_result(layout, manifest, run))
            }
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
