"""Steps that `run_study` and `resume_study` share."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.reduction import ForkingPickler

from llem_config import Settings, StudyConfig
from llem_energy.preflight import Machine
from llem_runner._errors import StudyError
from llem_runner._executors.protocol import Executor
from llem_runner._executors.registry import AUTO, find_executor
from llem_runner._executors.task import Measure
from llem_runner._gpus.state import Gpus
from llem_runner._study.limits import Limits
from llem_runner._study.main_guard import check_main_guard


def check_caller(measure: Measure) -> None:
    """Return if this process can start child processes that call `measure`.

    Raises:
        StudyError: a child process would run the caller's script a second time, or could not import
            `measure`.
    """
    check_main_guard()
    try:
        ForkingPickler.dumps(measure)
    except Exception as error:  # pickle may raise any type
        raise StudyError(
            f"`measure` must be a function at the top level of a module, so that a new process "
            f"can import it: {error}"
        ) from error


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


def choose_executor(
    given: Executor | None, study: StudyConfig, settings: Settings, n_runs: int, limits: Limits
) -> Executor:
    """Return what measures the runs: the caller's executor, or the one that the settings name.

    `auto` measures a single run in this process, since there is nothing to isolate it from, unless
    it has a limit: only another process can be ended, and can crash without ending the study.

    Raises:
        StudyError: no installed package provides the executor that the settings name.
    """
    if given is not None:
        return given
    name = settings.execution.executor
    if name == AUTO:
        has_timeout = "timeout_seconds" in study.execution.model_fields_set
        has_limits = limits.time_limit_s is not None or limits.retry > 0
        name = "local" if n_runs > 1 or has_timeout or has_limits else "inline"
    return find_executor(name)


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
