"""The events that `run_study` and `resume_study` pass to `on_event`."""

from llem_runner._events import (
    Event,
    GapEnded,
    GapStarted,
    GapTelemetry,
    InputChanged,
    LeftoverProcesses,
    Note,
    PreflightWarning,
    ReadingInputs,
    RunFailed,
    RunFinished,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
    WaitingForGpu,
)

__all__ = [
    "Event",
    "GapEnded",
    "GapStarted",
    "GapTelemetry",
    "InputChanged",
    "LeftoverProcesses",
    "Note",
    "PreflightWarning",
    "ReadingInputs",
    "RunFailed",
    "RunFinished",
    "RunStage",
    "RunStarted",
    "StudyEnded",
    "StudyStarted",
    "WaitingForGpu",
]
