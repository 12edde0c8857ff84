"""Run llem studies: every experiment in a fresh process, everything on disk as it happens.

    from llem_runner import run_study
    result = run_study("study.yaml")

The process that calls this never imports torch. Child processes are spawned, so a script that
calls it needs the usual `if __name__ == "__main__":`.
"""

from llem_runner._control import Control
from llem_runner._errors import PreflightError, StudyError, StudyLocked
from llem_runner._events import (
    Event,
    GapEnded,
    GapStarted,
    GapTelemetry,
    LeftoverProcesses,
    PreflightWarning,
    RunFailed,
    RunFinished,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
    WaitingForGpu,
)
from llem_runner._executors.local.run_isolated import run_isolated
from llem_runner._executors.task import Measure
from llem_runner._outcome import Failed, Finished, Interrupted, Outcome, Reason
from llem_runner._plan.schedule import PlannedRun, gap_seconds, schedule
from llem_runner._storage.atomic_files import encode_json
from llem_runner._storage.lock import is_running
from llem_runner._storage.manifest import (
    ManifestEntry,
    StudyManifest,
    read_manifest,
)
from llem_runner._storage.study_result import (
    Comparison,
    Comparisons,
    FailedRun,
    MeasurementProtocol,
    Outlier,
    PointSummary,
    Skipped,
    Statistics,
    StudyResult,
    StudySummary,
    read_study_result,
)
from llem_runner._study.preparation import fill_gaps
from llem_runner._study.resume import resume_study
from llem_runner._study.run import run_study
from llem_runner._study.run_one import run_experiment
from llem_runner._study.time_left import time_left_s

__all__ = [
    "Comparison",
    "Comparisons",
    "Control",
    "Event",
    "Failed",
    "FailedRun",
    "Finished",
    "GapEnded",
    "GapStarted",
    "GapTelemetry",
    "Interrupted",
    "LeftoverProcesses",
    "ManifestEntry",
    "Measure",
    "MeasurementProtocol",
    "Outcome",
    "Outlier",
    "PlannedRun",
    "PointSummary",
    "PreflightError",
    "PreflightWarning",
    "Reason",
    "RunFailed",
    "RunFinished",
    "RunStage",
    "RunStarted",
    "Skipped",
    "Statistics",
    "StudyEnded",
    "StudyError",
    "StudyLocked",
    "StudyManifest",
    "StudyResult",
    "StudyStarted",
    "StudySummary",
    "WaitingForGpu",
    "encode_json",
    "fill_gaps",
    "gap_seconds",
    "is_running",
    "read_manifest",
    "read_study_result",
    "resume_study",
    "run_experiment",
    "run_isolated",
    "run_study",
    "schedule",
    "time_left_s",
]
