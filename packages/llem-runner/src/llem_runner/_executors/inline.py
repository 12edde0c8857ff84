"""The executor without child processes: measures in the calling thread, where nothing can end a run.

For programs that cannot start a process. The output of the libraries goes where that of the caller
goes: stdout and stderr belong to the whole process, and so to its other threads too.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from llem_runner._control import Control
from llem_runner._executors.log_file import close_log, open_log
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
        open_log(log).close()
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
        start = 0
        try:
            with open_log(self._log) as file, control.measuring_here():
                start = file.tell()
                log = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
                return measure_task(self._measure, task, on_stage, log=log)
        finally:
            close_log(self._log, start)

    def close(self) -> Leftovers:
        """Return that nothing is left: the calling process is not part of the run."""
        return Leftovers()
