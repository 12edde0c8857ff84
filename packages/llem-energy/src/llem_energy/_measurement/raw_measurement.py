"""What one measurement gathers before any figure is computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from llem_config import ExperimentConfig, PhaseName
from llem_energy._backends.protocol import Batch, Memory, Phase, Workload
from llem_energy._machine.snapshot import EnvironmentSnapshot
from llem_energy._measurement.idle import IdleSpan
from llem_energy._measurement.warm_up import WarmUp
from llem_energy._metering.calibration import Calibration
from llem_energy._metering.recorder import Recorder
from llem_energy._metering.window import MeasuredSpan
from llem_energy._result.measurement_figures import ContextIdle
from llem_energy._sources.protocol import EnergySource


class Idles(msgspec.Struct, frozen=True, kw_only=True):
    """When the devices idled; None where they were not left to."""

    context: IdleSpan | None = None
    reused: ContextIdle | None = None
    """Taken instead of `context`."""
    before: IdleSpan | None = None
    after: IdleSpan | None = None


class PhaseSpan(msgspec.Struct, frozen=True):
    """A phase that was measured alone, or why it was not."""

    name: PhaseName
    phase: Phase | None
    span: MeasuredSpan | None
    problem: str | None = None


class GenerationRecord(msgspec.Struct, frozen=True):
    """What was kept of one batch of the window, read from the device after it."""

    batch: Batch
    n_tokens: tuple[int, ...]
    """Of each prompt's answer."""
    times_s: tuple[float, ...] | None
    """When each step's token was there, since the batch began; see `Generation.token_times_s`."""


class RawMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a measurement gathered."""

    config: ExperimentConfig
    config_hash: str
    started_at: datetime
    gpus: tuple[str, ...]
    source: EnergySource | None
    reasons: tuple[str, ...]
    """Why a source that was asked for is not read."""
    environment: EnvironmentSnapshot
    calibration: tuple[Calibration, ...]
    samples: Recorder
    sampler_failure: str | None
    idles: Idles
    window: MeasuredSpan
    n_compilations: int
    """Inside the window."""
    answered: Sequence[GenerationRecord]
    requests_file: str | None
    requests_problem: str | None
    """Why there is no file of requests, where one was asked for."""
    phases: Sequence[PhaseSpan]
    warm_up: WarmUp
    workload: Workload
    memory: Memory
    prompts_sha256: str
