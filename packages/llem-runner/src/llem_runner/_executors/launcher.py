"""Starts the execution of each run; that of the next run as soon as a result has arrived."""

from __future__ import annotations

import contextlib

from llem_runner._executors.protocol import Execution, Executor
from llem_runner._executors.task import Measure
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.run_records import RunRecords


class Launcher:
    """Gives every run a new execution, and keeps the one that was started ahead."""

    def __init__(self, executor: Executor, records: RunRecords, measure: Measure) -> None:
        self._executor = executor
        self._records = records
        self._measure = measure
        self._ahead: tuple[PlannedRun, Execution] | None = None

    def start(self, run: PlannedRun) -> Execution:
        """Return an execution for a run that is due; the folder of the run exists.

        Raises:
            StudyError: its log cannot be written.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            if ahead[0] == run:
                return ahead[1]
            self._discard(*ahead)
        log = self._records.log_file(run)
        return self._executor.start(run, log=log, measure=self._measure)

    def start_ahead(self, run: PlannedRun) -> None:
        """Start the next run's execution, so that it imports while the study writes a result."""
        # The result has just arrived and is not on disk yet: no error here may prevent that. The
        # same error is raised again, and reported, when the run is due.
        try:
            with contextlib.suppress(Exception):
                self._records.make_folder(run)
                self._ahead = run, self.start(run)
        finally:
            if self._ahead is None:
                self._records.clean_up(run)

    def close(self) -> None:
        """End the execution that was started ahead, if its run was never due."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._discard(*ahead)

    def _discard(self, run: PlannedRun, execution: Execution) -> None:
        execution.close()
        self._records.clean_up(run)
