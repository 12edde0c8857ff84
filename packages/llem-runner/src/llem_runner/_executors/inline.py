"""The executor without child processes: measures in the calling thread, where nothing can end a run.

For a single run: there is nothing to isolate it from.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from llem_runner._control import Control
from llem_runner._executors.log_file import create_log
from llem_runner._executors.measure import measure_task
from llem_runner._executors.protocol import Leftovers
from llem_runner._executors.task import Measure, OnStage, Task
from llem_runner._outcome import Outcome
from llem_runner._plan.schedule import PlannedRun


class InlineExecutor:
    """Measures in the calling process."""

    enforces_limits = False

    def start(self, run: PlannedRun, *, log: Path, measure: Measure) -> InlineExecution:
        """Return an execution; see `Executor.start`."""
        del run
        create_log(log)
        return InlineExecution(log, measure)


class InlineExecution:
    """A measurement in the calling process."""

    ended_s = None

    def __init__(self, log: Path, measure: Measure) -> None:
        self._log = log
        self._measure = measure

    def measure(
        self,
        task: Task,
        *,
        control: Control,
        on_stage: OnStage,
        on_result: Callable[[], None],
    ) -> Outcome:
        """Measure; see `Execution.measure`. `on_result` is not called: cleaning up takes no time.

        Raises:
            KeyboardInterrupt: a stop was requested in this thread, or before the measurement.
        """
        del on_result
        stdout, stderr = sys.stdout, sys.stderr

        def report_stage(name: str) -> None:
            # The caller's callback prints to the caller's terminal, not into the log of the run.
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
                on_stage(name)

        with (
            self._log.open("a", encoding="utf-8") as log,
            control.measuring_here(),
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            return measure_task(self._measure, task, report_stage)

    def close(self) -> Leftovers:
        """Return that nothing is left: the calling process is not part of the run."""
        return Leftovers()
