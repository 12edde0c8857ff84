"""Carries out a task in the calling thread; exceptions of the measurement become data."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TextIO

import msgspec

from llem_config import ExperimentConfig, Settings
from llem_config.credentials import struck_out
from llem_config.foreign_files import pinned_folder
from llem_energy.records import check_finite
from llem_runner._executors.task import Measure, OnStage, Task
from llem_runner._outcome import Failed, Finished, Reason


def measure_task(
    measure: Measure, task: Task, on_stage: OnStage, *, log: TextIO | None = None
) -> Finished | Failed:
    """Measure, and return the outcome. Raises nothing but a request to stop.

    Args:
        measure: the function to call.
        task: what to measure; its time limits are not enforced here.
        on_stage: called at the beginning of each stage.
        log: for the traceback of an exception; None: stderr.

    Raises:
        KeyboardInterrupt: a stop was requested.
    """
    try:
        timeseries = Path(task.timeseries)
        # In a shared folder, another user may put a link in the place of the run's folder.
        with pinned_folder(timeseries.parent):
            result = measure(
                ExperimentConfig.model_validate_json(task.config),
                settings=Settings.model_validate_json(task.settings),
                timeseries=timeseries,
                on_stage=on_stage,
                carryover=task.carryover,
            )
        # Both here, so that an invalid result fails its run and not the study: a figure that is
        # not a number, and a value that no message can carry.
        check_finite(result)
        msgspec.msgpack.encode(result)
    except Exception as error:  # noqa: BLE001  # a failed run is data, whatever failed
        trace = _sendable(traceback.format_exc())
        (log or sys.stderr).write(trace)
        error_type = type(error).__name__
        return Failed(error_type, _sendable(str(error)) or error_type, trace, _reason(error))
    return Finished(result)


def _reason(error: BaseException) -> Reason:
    """Return whether memory ran out, also if a library has wrapped that error in its own."""
    cause: BaseException | None = error
    reason: Reason = "exception"
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "memory"
        # By name, because this package does not import torch, which also has an alias for its
        # error in `torch.cuda`. Our `OutOfMemory` may have either kind as its cause.
        is_by_name = type(cause).__name__ in ("OutOfMemory", "OutOfMemoryError")
        if is_by_name or "CUDA out of memory" in str(cause):
            reason = "gpu_memory"
        cause = cause.__cause__ or cause.__context__
    return reason


def _sendable(text: str) -> str:
    """Return a text that can be sent and stored.

    It has no passwords, and nothing that UTF-8 cannot encode, such as half of a file name's bytes.
    """
    return struck_out(text.encode(errors="backslashreplace").decode())
