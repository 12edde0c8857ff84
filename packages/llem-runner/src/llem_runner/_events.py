"""The events that a study sends to its caller's callback while it runs, as a closed union."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from llem_runner._outcome import Reason
from llem_runner._plan.schedule import GapKind
from llem_runner._storage.manifest import StudyStatus


class PreflightWarning(msgspec.Struct, frozen=True):
    """A pre-flight warning; the study starts anyway."""

    warning: str


class Note(msgspec.Struct, frozen=True):
    """Something that the user should know and that affects no result; sent before the first run."""

    text: str


class ReadingInputs(msgspec.Struct, frozen=True):
    """Large files of models are read, so that the results have their digests.

    Sent several times a second. A file is read once; its digest is kept for later studies.
    """

    n_read_bytes: int
    n_bytes: int
    """Of all files to read."""


class InputChanged(msgspec.Struct, frozen=True):
    """A run has read a model, an adapter or a data set that an earlier run read with other content."""

    index: int
    change: str
    """The sentence in the manifest."""


class WaitingForGpu(msgspec.Struct, frozen=True):
    """Another study uses the GPU; this study starts when the GPU is free."""

    uuid: str
    holder: str = ""
    """Who uses it: user, process, since when, study."""


class StudyStarted(msgspec.Struct, frozen=True):
    """The study folder exists and every run is planned."""

    folder: Path
    n_runs: int
    """Number of runs that this call will execute; a resume executes fewer than planned."""
    n_planned: int
    gap_s: float
    """Sum of all remaining gaps, in seconds."""
    left_s: float | None = None
    """Estimated time for all remaining runs and gaps, from earlier runs of the same models, also of other
    studies here; None if a model has none."""
    least_s: float = 0.0
    """The part of it that is known: without loading and warm-up of the models in `unknown`."""
    unknown: tuple[str, ...] = ()
    """Models that this machine has not run before, in order of their runs."""


class GapStarted(msgspec.Struct, frozen=True):
    """A gap begins and will last `seconds`."""

    kind: GapKind
    seconds: float
    until: str | None
    """The condition to wait for after that, in words, e.g. that the GPUs are cool enough."""


class GapTelemetry(msgspec.Struct, frozen=True):
    """Temperature and power of the study's GPUs, by UUID.

    Sent every few seconds during a gap, never during a run.
    """

    temperature_c: dict[str, float]
    power_w: dict[str, float]


class GapEnded(msgspec.Struct, frozen=True):
    """The gap is over, or was skipped."""

    skipped: bool
    cool: bool | None = None
    """Whether the GPUs reached the requested temperature; None if none was requested or the gap
    was skipped."""


class RunStarted(msgspec.Struct, frozen=True):
    """A run starts in its child process."""

    index: int
    cycle: int
    label: str
    gpu_temperatures_c: dict[str, float] = {}
    """GPU temperatures just before the run, by UUID; empty without a GPU."""
    expected_s: float | None = None
    """How long the run is expected to take, with loading and warm-up, in seconds: as the earlier runs
    of its point, or else of its model, or else of the study; None if there are none."""


class RunStage(msgspec.Struct, frozen=True):
    """A run reached one of `llem_energy.STAGES`; `window` is sent just before the window opens.

    The stage `import` comes first if the child process had no time to import its modules during
    the gap.
    """

    index: int
    stage: str
    expected_s: float | None = None
    """How long the stage is expected to take, in seconds: as in an earlier run, or what the study
    file sets; None if neither is known."""


class RunFinished(msgspec.Struct, frozen=True):
    """The result is on disk and recorded in the manifest."""

    index: int
    seconds: float
    tokens_per_second: float
    energy_per_output_token_j: float | None
    n_left: int = 0
    """Number of runs that this call still has to execute."""
    left_s: float | None = None
    """Estimated time for these runs and their gaps, in seconds, based on the runs so far."""


class RunFailed(msgspec.Struct, frozen=True):
    """The run ended without a result; the study continues."""

    index: int
    seconds: float
    error_type: str
    message: str
    log: Path
    reason: Reason = "exception"
    log_tail: str = ""
    """The last lines of the log."""
    tried_again: bool = False
    """Whether the run crashed and will be retried now."""
    n_left: int = 0
    left_s: float | None = None


class LeftoverProcesses(msgspec.Struct, frozen=True):
    """Processes are still alive after a run; the next run waits for them to exit."""

    index: int
    own_pids: tuple[int, ...]
    """Processes that the run started. The study is aborted if they do not exit."""
    other_pids: tuple[int, ...]
    """Other processes that started to use a GPU during the run."""


class StudyEnded(msgspec.Struct, frozen=True):
    """All files are written. The last event, however the study ended."""

    folder: Path
    status: StudyStatus
    reason: str | None = None
    """Why the study ended before its last run; None if a stop was requested or an exception
    gives the reason."""


Event = (
    PreflightWarning
    | Note
    | ReadingInputs
    | InputChanged
    | WaitingForGpu
    | StudyStarted
    | GapStarted
    | GapTelemetry
    | GapEnded
    | RunStarted
    | RunStage
    | RunFinished
    | RunFailed
    | LeftoverProcesses
    | StudyEnded
)


OnEvent = Callable[[Event], None]


def ignore(*_: object) -> None:
    """Do nothing: for a callback that the caller does not need."""
