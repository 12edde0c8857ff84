"""What a study tells its caller while it runs: one callback, one closed union of events."""

from __future__ import annotations

from pathlib import Path

import msgspec

from llem_runner._manifest import StudyStatus
from llem_runner._schedule import GapKind


class Cautioned(msgspec.Struct, frozen=True):
    """Something may go wrong with the study, found before it starts; it runs nevertheless."""

    warning: str


class StudyStarted(msgspec.Struct, frozen=True):
    """The folder is there and every run is planned."""

    folder: Path
    n_runs: int
    """Runs that this call will execute; fewer than planned if the study is resumed."""
    n_planned: int
    gap_s: float
    """Sum of all pauses to come."""


class GapStarted(msgspec.Struct, frozen=True):
    """A pause begins; `seconds` are left of it."""

    kind: GapKind
    seconds: float
    until_temperature_c: float | None


class GapEnded(msgspec.Struct, frozen=True):
    """The pause is over, or was skipped."""

    skipped: bool


class RunStarted(msgspec.Struct, frozen=True):
    """A run is due and its worker has been told."""

    index: int
    cycle: int
    label: str


class RunStage(msgspec.Struct, frozen=True):
    """A run has reached one of `llem_energy.STAGES`; the last before the window is `window`."""

    index: int
    stage: str


class RunFinished(msgspec.Struct, frozen=True):
    """The result is on disk and booked."""

    index: int
    seconds: float
    tokens_per_second: float
    energy_per_output_token_j: float | None


class RunFailed(msgspec.Struct, frozen=True):
    """The run ended without a result; the study goes on."""

    index: int
    seconds: float
    error_type: str
    message: str
    log: Path


class StudyEnded(msgspec.Struct, frozen=True):
    """Everything is written; the last event, whatever happened."""

    folder: Path
    status: StudyStatus


Event = (
    Cautioned
    | StudyStarted
    | GapStarted
    | GapEnded
    | RunStarted
    | RunStage
    | RunFinished
    | RunFailed
    | StudyEnded
)


def ignore(event: Event) -> None:
    """Take the place of a caller's callback."""
