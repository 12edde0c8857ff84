"""What one measurement gathers before any figure is computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from llem_config import ExperimentConfig
from llem_energy._backend import Answer, Batch, Memory, Workload
from llem_energy._results import EnvironmentSnapshot
from llem_energy._source import EnergySource, Sample


class Window(msgspec.Struct, frozen=True):
    """What the measured window left behind."""

    start_s: float
    end_s: float
    cpu_time_s: float
    n_repeats: int
    answers: tuple[tuple[Batch, Answer], ...]


class WarmUp(msgspec.Struct, frozen=True):
    """How the warm-up went."""

    n_repeats: int
    converged: bool | None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a measurement gathered."""

    config: ExperimentConfig
    config_hash: str
    started_at: datetime
    gpus: tuple[str, ...]
    source: EnergySource | None
    reasons: tuple[str, ...]
    environment: EnvironmentSnapshot
    samples: Sequence[Sample]
    baseline: tuple[float, float] | None
    window: Window
    warm_up: WarmUp
    workload: Workload
    memory: Memory
    prompts_sha256: str
    timeseries_file: str | None
