"""What `run_study` and `resume_study` have in common."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.reduction import ForkingPickler

from llem_config import (
    Settings,
    StudyConfig,
)
from llem_energy import gpu_uuids
from llem_runner._errors import StudyError
from llem_runner._executors.measure import Measure
from llem_runner._gpus.state import Gpus
from llem_runner._storage.manifest import ManifestWriter
from llem_runner._study.limits import Limits


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
