"""Starts the process of each run; that of the next one ahead, once a result has arrived."""

from __future__ import annotations

import contextlib

from llem_runner._executors.local.parent import Worker
from llem_runner._executors.measure import Measure
from llem_runner._plan.schedule import PlannedRun
from llem_runner._storage.layout import LOG, Layout
from llem_runner._storage.run_records import Booking


class Workers:
    """Gives every run a worker that nobody else has used."""

    def __init__(self, layout: Layout, booking: Booking, measure: Measure) -> None:
        self._layout = layout
        self._booking = booking
        self._measure = measure
        self._ahead: tuple[PlannedRun, Worker] | None = None

    def of(self, run: PlannedRun) -> Worker:
        """Return a worker for a run, which is yet to begin.

        Raises:
            StudyError: its log cannot be written.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            if ahead[0] == run:
                return ahead[1]
            self._discard(*ahead)
        return Worker(run.config, measure=self._measure, log=self._layout.run_folder(run) / LOG)

    def start_ahead(self, run: PlannedRun) -> None:
        """Let the worker of the next run import what it needs while the one before is put away.

        It touches neither GPU nor model before it is told to.
        """
        # A result has just arrived and is not on disk yet: nothing here may get in its way. What
        # goes wrong comes again, and is reported, when the run is due.
        try:
            with contextlib.suppress(Exception):
                self._booking.make_folder(run)
                self._ahead = run, self.of(run)
        finally:
            if self._ahead is None:
                self._booking.tidy(run)

    def close(self) -> None:
        """End the worker that was started ahead and is not needed after all."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._discard(*ahead)

    def _discard(self, run: PlannedRun, worker: Worker) -> None:
        worker.close()
        self._booking.tidy(run)
