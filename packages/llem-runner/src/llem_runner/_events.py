"""What a study tells its caller while it runs: one callback, one closed union of events."""

from __future__ import annotations

from pathlib import Path

import msgspec

from llem_runner._outcome import Reason
from llem_runner._plan.schedule import GapKind
from llem_runner._storage.manifest import StudyStatus


class Cautioned(msgspec.Struct, frozen=True):
    """Something may go wrong with the study, found before it starts; it runs nevertheless."""

    warning: str


class WaitingForGpu(msgspec.Struct, frozen=True):
    """Another study has the GPU; this one begins once it is free."""

    uuid: str


class StudyStarted(msgspec.Struct, frozen=True):
    """The folder is there and every run is planned."""

    folder: Path
    n_runs: int
    """Runs that this call will execute; fewer than planned if the study is resumed."""
    n_planned: int
    gap_s: float
    """Sum of all pauses to come."""
    left_s: float | None = None
    """An estimate of what all will take; None while no run of the study was seen."""


class GapStarted(msgspec.Struct, frozen=True):
    """A pause begins; `seconds` are left of it."""

    kind: GapKind
    seconds: float
    until: str | None
    """What is waited for after that, in words: GPUs that are cool."""


class GapReading(msgspec.Struct, frozen=True):
    """How the study's GPUs are, by UUID; every few seconds of a pause, never during a run."""

    temperature_c: dict[str, float]
    power_w: dict[str, float]


class GapEnded(msgspec.Struct, frozen=True):
    """The pause is over, or was skipped."""

    skipped: bool
    cool: bool | None = None
    """Whether the GPUs are as cool as was asked for; None if nothing was, or if it was skipped."""


class RunStarted(msgspec.Struct, frozen=True):
    """A run is due and its worker has been told."""

    index: int
    cycle: int
    label: str
    gpu_temperatures_c: dict[str, float] = {}
    """By UUID, just before; empty without a GPU."""


class RunStage(msgspec.Struct, frozen=True):
    """A run has reached one of `llem_energy.STAGES`; the last before the window is `window`.

    Before them comes `import`, where the process of the run has not had the time for it ahead.
    """

    index: int
    stage: str


class RunFinished(msgspec.Struct, frozen=True):
    """The result is on disk and booked."""

    index: int
    seconds: float
    tokens_per_second: float
    energy_per_output_token_j: float | None
    n_left: int = 0
    """Runs that this call has still to execute."""
    left_s: float | None = None
    """An estimate of what they and their pauses will take, learned from the runs so far."""


class RunFailed(msgspec.Struct, frozen=True):
    """The run ended without a result; the study goes on."""

    index: int
    seconds: float
    error_type: str
    message: str
    log: Path
    reason: Reason = "exception"
    log_tail: str = ""
    """Last lines of the log."""
    tried_again: bool = False
    """It crashed, and the same run follows once more."""
    n_left: int = 0
    left_s: float | None = None


class RunLeftBehind(msgspec.Struct, frozen=True):
    """Something is still there after a run, and the next one waits for it."""

    index: int
    own: tuple[int, ...]
    """Processes of the run. The study is aborted if they stay."""
    others: tuple[int, ...]
    """Processes that came to a GPU during the run, of whomever."""


class StudyEnded(msgspec.Struct, frozen=True):
    """Everything is written; the last event, whatever happened."""

    folder: Path
    status: StudyStatus
    reason: str | None = None
    """Why it ended before its last run; None where that was asked for or an exception says it."""


Event = (
    Cautioned
    | WaitingForGpu
    | StudyStarted
    | GapStarted
    | GapReading
    | GapEnded
    | RunStarted
    | RunStage
    | RunFinished
    | RunFailed
    | RunLeftBehind
    | StudyEnded
)


def ignore(event: Event) -> None:
    """Take the place of a caller's callback."""
