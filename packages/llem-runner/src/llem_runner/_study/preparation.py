"""Steps that `run_study` and `resume_study` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from llem_config import Settings, StudyConfig
from llem_energy.preflight import Machine
from llem_runner._errors import StudyError
from llem_runner._executors.local.importing import check_not_importing, pickle_measure
from llem_runner._executors.protocol import Executor
from llem_runner._executors.registry import AUTO, find_executor, name_of
from llem_runner._executors.standard_streams import open_standard_streams
from llem_runner._executors.task import Measure
from llem_runner._gpus.state import Gpus


def check_caller(measure: Measure) -> None:
    """Return if this process can start child processes that call `measure`.

    Raises:
        StudyError: they could not import `measure`, they would have no working directory, or this is
            itself a process that only imports the script of another.
    """
    open_standard_streams()
    check_not_importing()
    try:
        Path.cwd()
    except OSError as error:
        raise StudyError(
            f"the working directory of this program cannot be used: {error.strerror}; was it "
            "removed? Change to a folder that exists"
        ) from error
    pickle_measure(measure)


def fill_gaps(study: StudyConfig, settings: Settings) -> StudyConfig:
    """Return the study with both gaps set, as it will run on this machine.

    Args:
        study: a gap that it sets is kept.
        settings: the machine's settings; they give the gaps that the study leaves open.
    """
    execution = study.execution
    update = {
        name: getattr(settings.execution, name)
        for name in ("config_gap_seconds", "cycle_gap_seconds")
        if getattr(execution, name) is None
    }
    return study.model_copy(update={"execution": execution.model_copy(update=update)})


class ChosenExecutor(NamedTuple):
    """What measures the runs of a study."""

    name: str
    executor: Executor


def choose_executor(given: Executor | None, settings: Settings) -> ChosenExecutor:
    """Return what measures the runs: the caller's executor, or the one that the settings name.

    `auto` is a process per run, also for a single one: it can be ended, it can crash without
    ending the study, and it leaves the streams and the libraries of this process alone.

    Raises:
        StudyError: no installed package provides the executor that the settings name, or it cannot
            be used in this process.
    """
    if given is not None:
        return ChosenExecutor(name_of(given), given)
    name = settings.execution.executor
    name = "local" if name == AUTO else name
    return ChosenExecutor(name, find_executor(name))


def gpus_to_watch(gpus: Sequence[str], machine: Machine) -> Gpus:
    """Return the GPUs whose state is read between runs.

    Args:
        gpus: UUIDs of those that the study uses. If it uses none, but the settings name GPUs to
            meter or a temperature to wait for, all GPUs are read.
        machine: where the study runs.
    """
    execution = machine.settings.execution
    waits_for_cooling = execution.gap_until_temperature_c or execution.gap_within_c
    if not gpus and (waits_for_cooling or machine.settings.devices.gpus):
        gpus = [gpu.uuid for gpu in machine.gpus]
    return Gpus(gpus)
