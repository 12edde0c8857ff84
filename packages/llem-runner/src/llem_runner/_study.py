"""The front doors: a study or an experiment, from what a person has to what was measured.

load -> pre-flight -> schedule -> locks -> folder -> manifest -> runs (_runner) -> record
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from llem_config import (
    ExperimentConfig,
    Settings,
    StudyConfig,
    load_experiment,
    load_settings,
    load_study,
)
from llem_energy import ExperimentResult, Prior, encode_result, gpu_uuids
from llem_energy import measure as default_measure
from llem_runner._calibrations import known_calibrations
from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._events import Cautioned, ignore
from llem_runner._files import write_atomically
from llem_runner._gpus import Gpus
from llem_runner._layout import RESULT, TIMESERIES, create_folder
from llem_runner._limits import Limits
from llem_runner._locks import Queue, hold, hold_gpus
from llem_runner._manifest import ManifestWriter
from llem_runner._preflight import check
from llem_runner._results import StudyResult
from llem_runner._runner import OnEvent, StudyRunner
from llem_runner._schedule import schedule
from llem_runner._worker import Measure


def run_study(
    config: str | Path | StudyConfig,
    *,
    output: str | Path | None = None,
    on_event: OnEvent | None = None,
    control: Control | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
    retry: int = 0,
    time_limit_s: float | None = None,
    wait: bool = False,
) -> StudyResult:
    """Run every experiment of a study and return its record.

    Args:
        config: a study file, or a study made in Python.
        output: folder that the study's own folder is made in; None takes the machine's setting.
        on_event: told everything that happens; see `Event`.
        control: to stop the study from a signal handler or another thread.
        measure: what each run calls; a child process must be able to import it.
        settings: machine-local settings; None loads them.
        retry: further attempts at a run whose process crashed; a run that raises an error or
            takes too long would do so again.
        time_limit_s: for all of it. No run begins that is not expected to end in time, and one
            that has not ended is stopped; the rest stays pending, for `resume_study`.
        wait: until a GPU that another study uses is free, instead of an error.

    Returns:
        The record, whatever became of the runs: a failed run is data. `status` tells.

    Raises:
        ConfigError: mistakes in the study file.
        PreflightError: the study cannot run on this machine; nothing was written.
        StudyError: results cannot be written; what was written before stays readable.
        KeyboardInterrupt: after the running process is gone and the manifest is closed.
    """
    check_caller(measure)
    study = config if isinstance(config, StudyConfig) else load_study(config)
    own = settings or load_settings()
    study = with_gaps(study, own)
    results_dir = Path(output) if output is not None else own.output.results_dir
    outlook = check(study, results_dir, own)
    for warning in outlook.warnings:
        (on_event or ignore)(Cautioned(warning))
    if control is not None and control.stop_requested:
        raise KeyboardInterrupt
    runs = schedule(study.experiments, study.execution)
    with (
        Control.owned(control) as stop,
        Limits(stop, retry=retry, time_limit_s=time_limit_s) as limits,
        hold_gpus(study.experiments, Queue(stop, on_event or ignore) if wait else None) as uuids,
    ):
        layout = create_folder(results_dir, study)
        with hold(layout.lock, str(layout.folder)):
            manifest = ManifestWriter.create(layout, study.name, study.study_design_hash, runs)
            runner = StudyRunner(
                study,
                layout,
                manifest,
                settings=own,
                control=stop,
                on_event=on_event or ignore,
                measure=measure,
                limits=limits,
                gpus=gpus_to_watch(uuids, own),
                foretold=outlook.foretold,
            )
            return runner.run(runs, isolated=isolated(study, manifest, limits))


def check_caller(measure: Measure) -> None:
    """Return if processes can be spawned from here.

    Raises:
        StudyError: this is a spawned process that runs the caller's script a second time, or it
            could not find `measure`.
    """
    # Private, but the only sign of it: multiprocessing's own check comes too late for us, after
    # the folder is made and with a page of traceback.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise StudyError(
            'a script that runs a study must do so below `if __name__ == "__main__":`, '
            "since every run is a new process that reads the script again"
        )
    try:
        ForkingPickler.dumps(measure)
    except Exception as error:  # pickle raises whatever it likes
        raise StudyError(
            f"`measure` must be a function at the top of a module, which a new process can "
            f"import: {error}"
        ) from error


def run_experiment(
    config: str | Path | ExperimentConfig,
    *,
    output: str | Path | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
) -> ExperimentResult:
    """Measure one experiment in this process and return its result.

    Args:
        config: an experiment file, or an experiment made in Python.
        output: folder for `result.json` and `timeseries.parquet`; None writes nothing.
        on_stage: called at the beginning of each stage.
        on_warning: told what may go wrong, before anything begins.
        measure: what is called.
        settings: machine-local settings; None loads them.

    Raises:
        ConfigError: mistakes in the file.
        PreflightError: the experiment cannot run on this machine.
        MeasurementError: it was tried and failed.
        StudyError: `output` holds a result already, or cannot be written.
    """
    check_caller(measure)
    experiment = config if isinstance(config, ExperimentConfig) else load_experiment(config)
    own = settings or load_settings()
    folder = None if output is None else Path(output)
    for warning in check(StudyConfig(experiments=(experiment,)), folder, own).warnings:
        if on_warning is not None:
            on_warning(warning)
    if folder is not None:
        _prepare(folder)
    with hold_gpus([experiment]):
        result = measure(
            experiment,
            settings=own,
            timeseries=folder / TIMESERIES if folder is not None else None,
            on_stage=on_stage,
            prior=Prior(calibration=known_calibrations()),
        )
    if folder is not None:
        write_atomically(folder / RESULT, encode_result(result))
    return result


def _prepare(folder: Path) -> None:
    if (folder / RESULT).exists():
        raise StudyError(f"{folder / RESULT} exists already; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{folder} cannot be created: {error.strerror}") from error


def with_gaps(study: StudyConfig, settings: Settings) -> StudyConfig:
    """Return a study whose gaps are numbers: its own, or this machine's where it leaves them."""
    machine = settings.execution
    execution = study.execution
    update = {
        name: getattr(machine, name)
        for name in ("config_gap_seconds", "cycle_gap_seconds")
        if getattr(execution, name) is None
    }
    return study.model_copy(update={"execution": execution.model_copy(update=update)})


def isolated(study: StudyConfig, manifest: ManifestWriter, limits: Limits) -> bool:
    """Tell whether each run gets a process of its own.

    One point and one cycle is measured in this process: there is nothing to isolate it from.
    Unless there is something that only another process allows: to be ended, or to crash.
    """
    asked = "timeout_seconds" in study.execution.model_fields_set
    limited = limits.time_limit_s is not None or limits.retry > 0
    return manifest.n_planned > 1 or asked or limited


def gpus_to_watch(held: Sequence[str], settings: Settings) -> Gpus:
    """Return the GPUs of a study, or all of them where only this machine's settings name any."""
    execution = settings.execution
    cooling = execution.gap_until_temperature_c or execution.gap_within_c
    return Gpus(held or (gpu_uuids() if cooling or settings.devices.gpus else ()))
