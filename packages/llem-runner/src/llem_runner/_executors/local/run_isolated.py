"""One experiment in a child process, without a study around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from llem_config import ExperimentConfig, Settings
from llem_energy import measure as default_measure
from llem_runner._control import Control
from llem_runner._events import ignore
from llem_runner._executors.local.importing import check_not_importing
from llem_runner._executors.local.parent import ChildProcess
from llem_runner._executors.local.spawning import check_can_start
from llem_runner._executors.standard_streams import open_standard_streams
from llem_runner._executors.task import Measure, Task
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
    """Measure one experiment in a new process and return the outcome.

    Args:
        config: the experiment.
        timeout_s: seconds after which the process is killed.
        log: file to append the output of the process to; its folder exists.
        stall_s: seconds without any sign of progress after which the process is killed.
        timeseries: file for the samples; None: `timeseries.parquet` beside the log.
        measure: what the process calls; it must be able to import it.
        settings: machine-local settings; None: the defaults.
        control: to request a stop.
        on_stage: called at the beginning of each stage.

    Raises:
        StudyError: the log cannot be written, the process cannot be started, or it cannot import `measure`.
    """
    open_standard_streams()
    check_not_importing()
    check_can_start()
    child = ChildProcess(config, measure=measure, log=log)
    task = Task(
        config.model_dump_json(),
        (settings or Settings()).model_dump_json(),
        str(timeseries or log.with_name("timeseries.parquet")),
        timeout_s=timeout_s,
        stall_s=stall_s,
    )
    with Control.owned(control) as stop:
        try:
            return child.measure(task, control=stop, on_stage=on_stage or ignore, on_result=ignore)
        finally:
            child.close()
