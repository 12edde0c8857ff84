"""The local executor: a new child process for every run."""

from __future__ import annotations

from pathlib import Path

from llem_runner._executors.local.parent import ChildProcess
from llem_runner._executors.task import Measure
from llem_runner._plan.schedule import PlannedRun


class LocalExecutor:
    """Measures each run in a child process of its own, on this machine."""

    enforces_limits = True

    def start(self, run: PlannedRun, *, log: Path, measure: Measure) -> ChildProcess:
        """Start a child process that imports and waits; see `Executor.start`."""
        return ChildProcess(run.config, measure=measure, log=log)
