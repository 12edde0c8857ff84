"""`run_study`: from a study file to its record.

load -> pre-flight -> schedule -> locks -> folder -> manifest -> runs (`StudyRunner`) -> record
"""

from __future__ import annotations

from pathlib import Path

from llem_config import Settings, StudyConfig, load_study
from llem_energy import measure as default_measure
from llem_energy.preflight import find_machine
from llem_runner._control import Control
from llem_runner._events import OnEvent, PreflightWarning
from llem_runner._executors.protocol import Executor
from llem_runner._executors.task import Measure
from llem_runner._plan.comparability import why_not_comparable
from llem_runner._plan.schedule import schedule
from llem_runner._storage.layout import new_folder
from llem_runner._storage.lock import hold
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.limits import Limits
from llem_runner._study.preparation import check_caller, fill_gaps
from llem_runner._study.progress_lines import with_progress
from llem_runner._study.session import Caller, begin_session


def run_study(
    config: str | Path | StudyConfig,
    *,
    output: str | Path | None = None,
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
    """Run every experiment of a study, and return the study's record.

    Args:
        config: a study file, or a study made in Python.
        output: parent folder of the study's own folder; None: the one in the settings.
        on_event: called for everything that happens; see `Event`.
        control: stops the study from a signal handler or another thread.
        measure: what each run calls; a child process must be able to import it.
        settings: machine-local settings; None loads them. They give the gaps that the study does
            not set.
        executor: what measures the runs; None: the one in the settings. By default that is a new
            child process per run.
        retry: number of further attempts at a run whose process crashed. A run that raises an
            exception or exceeds its timeout is not repeated, because it would fail again.
        time_limit_s: time budget of the whole study, in seconds. A run that is not expected to end
            in time does not start, and one that has not ended is stopped; the remaining runs stay
            pending, for `resume_study`.
        wait: wait until a GPU that another study uses is free, instead of raising an error.
        progress: show what happens: in a notebook in one output of the cell, else a line on stderr
            for each run.

    Returns:
        The record, also if runs have failed; see its `status`.

    Raises:
        ConfigError: mistakes in the study file.
        PreflightError: the study cannot run on this machine; nothing was written.
        StudyError: results cannot be written; everything written before stays readable.
        KeyboardInterrupt: Ctrl-C; the running process is gone and the manifest is closed.
    """
    check_caller(measure)
    show = with_progress(on_event, progress)
    study = config if isinstance(config, StudyConfig) else load_study(config)
    machine = find_machine(settings)
    study = fill_gaps(study, machine.settings)
    results_dir = Path(output) if output is not None else machine.settings.output.results_dir
    runs = schedule(study)
    with (
        Control.owned(control) as stop,
        Limits(stop, retry=retry, time_limit_s=time_limit_s) as limits,
    ):
        caller = Caller(machine, stop, limits, show, measure, executor, wait)
        session = begin_session(study, results_dir, caller)
        if reason := why_not_comparable(study):
            caller.on_event(PreflightWarning(reason))
        with (
            session.gpus_held(),
            new_folder(results_dir, study) as layout,
            hold(layout.lock, str(layout.folder)),
        ):
            manifest = ManifestWriter.create(
                layout,
                study.name,
                study.study_design_hash,
                runs,
                executor=session.chosen.name,
                overrides=study.overrides,
            )
            return session.study_runner(layout, manifest).run(runs)
