"""One experiment in a process of its own, without a study around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from llem_config import ExperimentConfig, Settings
from llem_energy import measure as default_measure
from llem_runner._control import Control
from llem_runner._executors.local.parent import Worker
from llem_runner._executors.measure import Measure
from llem_runner._outcome import Outcome


def run_isolated(
    config: ExperimentConfig,
    *,
    timeout_s: float,
    log: Path,
    stall_s: float = math.inf,
    timeseries: Path | None = None,
    measure: Measure = default_measure,
    settings: Settings | None = None,
    control: Control | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Outcome:
    """Measure one experiment in a fresh process and return what came of it."""
    worker = Worker(config, measure=measure, log=log)
    own = control or Control()
    try:
        return worker.run(
            settings=settings or Settings(),
            timeseries=timeseries or log.with_name("timeseries.parquet"),
            timeout_s=timeout_s,
            control=own,
            on_stage=on_stage or _say_nothing,
            stall_s=stall_s,
        )
    finally:
        if control is None:
            own.close()


def _say_nothing(stage: str) -> None:
    """Take the place of a caller's callback."""
