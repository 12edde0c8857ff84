"""`run_experiment`: one experiment in the calling process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from llem_config import ExperimentConfig, Settings, StudyConfig, load_experiment
from llem_config.foreign_files import pinned_folder
from llem_energy import ExperimentResult
from llem_energy import measure as default_measure
from llem_energy.preflight import find_machine, gpus_used
from llem_energy.records import encode_result
from llem_runner._errors import StudyError
from llem_runner._executors.standard_streams import open_standard_streams
from llem_runner._executors.task import Measure
from llem_runner._gpus.locks import hold_gpus
from llem_runner._storage.atomic_files import write_atomically
from llem_runner._storage.layout import RESULT, TIMESERIES
from llem_runner._study.carryover import known_at_start
from llem_runner._study.preflight import check


def run_experiment(
    config: str | Path | ExperimentConfig,
    *,
    output: str | Path | None = None,
    on_stage: Callable[[str], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
) -> ExperimentResult:
    """Measure one experiment in this process, and return its result.

    Args:
        config: an experiment file, or an experiment made in Python.
        output: folder for `result.json` and `timeseries.parquet`; None: nothing is written.
        on_stage: called at the beginning of each stage.
        on_warning: called for each pre-flight warning, before the measurement.
        measure: the function that measures.
        settings: machine-local settings; None loads them.

    Raises:
        ConfigError: mistakes in the file.
        PreflightError: the experiment cannot run on this machine.
        MeasurementError: the measurement failed.
        StudyError: `output` contains a result already, or cannot be written.
    """
    open_standard_streams()
    experiment = config if isinstance(config, ExperimentConfig) else load_experiment(config)
    machine = find_machine(settings)
    folder = None if output is None else Path(output)
    for warning in check(StudyConfig(experiments=(experiment,)), folder, machine).warnings:
        if on_warning is not None:
            on_warning(warning)
    if folder is not None:
        _prepare(folder)
    # A folder that the user names may be a link, but not lead elsewhere during the measurement.
    pinned = nullcontext() if folder is None else pinned_folder(folder, follow_links=True)
    with hold_gpus(gpus_used([experiment], machine)), pinned:
        result = measure(
            experiment,
            settings=machine.settings,
            timeseries=folder / TIMESERIES if folder is not None else None,
            on_stage=on_stage,
            carryover=known_at_start(),
        )
    if folder is not None:
        write_atomically(folder / RESULT, encode_result(result))
    return result


def _prepare(folder: Path) -> None:
    if (folder / RESULT).exists():
        raise StudyError(f"{folder / RESULT} exists already; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{folder} cannot be created: {error.strerror}") from error
