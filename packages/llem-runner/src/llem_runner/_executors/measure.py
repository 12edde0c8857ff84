"""What a run calls, and its outcome."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from llem_config import ExperimentConfig, Settings
from llem_energy import Carryover, ExperimentResult, check_finite
from llem_runner._executors.local.messages import Task, encode
from llem_runner._outcome import Failed, Finished, Reason


class Measure(Protocol):
    """What a run calls; `llem_energy.measure` or a stand-in that a child process can import."""

    def __call__(
        self,
        config: ExperimentConfig,
        *,
        settings: Settings | None = None,
        timeseries: Path | None = None,
        on_stage: Callable[[str], None] | None = None,
        carryover: Carryover | None = None,
    ) -> ExperimentResult:
        """Measure one experiment; see `llem_energy.measure`."""


def attempt(measure: Measure, task: Task, on_stage: Callable[[str], None]) -> Finished | Failed:
    """Measure, and return what came of it; never raises but for a request to stop."""
    try:
        result = measure(
            ExperimentConfig.model_validate_json(task.config),
            settings=Settings.model_validate_json(task.settings),
            timeseries=Path(task.timeseries),
            on_stage=on_stage,
            carryover=task.carryover,
        )
        # Both here, where a result that is none fails its run and not the study.
        check_finite(result)
        encode(Finished(result))
    except Exception as error:  # noqa: BLE001  # a failed run is data, whatever failed
        trace = _sendable(traceback.format_exc())
        sys.stderr.write(trace)
        kind = type(error).__name__
        return Failed(kind, _sendable(str(error)) or kind, trace, _reason(error))
    return Finished(result)


def _reason(error: BaseException) -> Reason:
    """Tell a want of memory from other errors, also where a library has wrapped it in its own."""
    cause: BaseException | None = error
    reason: Reason = "exception"
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "memory"
        # By name: torch's own error is known to nobody here, and `torch.cuda` has an alias of it.
        # The backend's own, `OutOfMemory`, may have either below it.
        named = type(cause).__name__ in ("OutOfMemory", "OutOfMemoryError")
        if named or "CUDA out of memory" in str(cause):
            reason = "gpu_memory"
        cause = cause.__cause__ or cause.__context__
    return reason


def _sendable(text: str) -> str:
    """Return a text without what UTF-8 cannot carry, such as half of a file name's bytes."""
    return text.encode(errors="backslashreplace").decode()
