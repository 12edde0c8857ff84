"""What is measured, and by which function: plain data that can cross to another process."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from llem_config import ExperimentConfig, Settings
from llem_energy import Carryover, ExperimentResult

OnStage = Callable[[str], None]


class Measure(Protocol):
    """What a run calls: `llem_energy.measure`, or a function that a child process can import."""

    def __call__(
        self,
        config: ExperimentConfig,
        *,
        settings: Settings | None = None,
        timeseries: Path | None = None,
        on_stage: OnStage | None = None,
        carryover: Carryover | None = None,
    ) -> ExperimentResult:
        """Measure one experiment; see `llem_energy.measure`."""


class Task(msgspec.Struct, frozen=True, tag="task"):
    """One measurement, complete enough to be sent to another process or machine."""

    config: str
    """The `ExperimentConfig` as JSON."""
    settings: str
    """The `Settings` as JSON."""
    timeseries: str
    """Path of the file for the samples."""
    carryover: Carryover = Carryover()
    """What earlier runs have measured of this machine: calibrations, idle power."""
    timeout_s: float = math.inf
    """Seconds after which the run is ended, counted from `Execution.measure`."""
    stall_s: float = math.inf
    """Seconds without any sign of progress after which the run is ended."""
