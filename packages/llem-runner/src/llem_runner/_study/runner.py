"""Executes planned runs one by one, and closes their manifest at the end."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from llem_config import LlemError, Settings, StudyConfig
from llem_runner._analysis.input_changes import InputHistory
from llem_runner._control import Control
from llem_runner._events import Note, OnEvent, StudyEnded, StudyStarted
from llem_runner._executors.launcher import Launcher
from llem_runner._executors.protocol import Executor, NoteGiver
from llem_runner._executors.task import Measure
from llem_runner._gpus.state import Gpus
from llem_runner._outcome import Failed, Interrupted, Outcome
from llem_runner._plan.schedule import GapKind, PlannedRun, gap_between
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import ManifestEntry, StudyStatus
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._storage.run_records import RunRecords
from llem_runner._study.attempt import AttemptMaker, can_retry
from llem_runner._study.duration import RemainingTime
from llem_runner._study.limits import Limits

Record = TypeVar("Record")


class StudyRunner(Generic[Record]):
    """Executes planned runs, with retries, until the last or until something ends the study."""

    def __init__(
        self,
        study: StudyConfig,
        layout: Layout,
        manifest: ManifestWriter,
        *,
        record: Callable[[], Record],
        executor: Executor,
        settings: Settings,
        control: Control,
        on_event: OnEvent,
        measure: Measure,
        limits: Limits | None = None,
        gpus: Gpus | None = None,
        expected_failures: frozenset[str] = frozenset(),
        history: InputHistory | None = None,
        earlier: Sequence[ManifestEntry] = (),
        usual_run_s: Mapping[str, float] | None = None,
    ) -> None:
        """Prepare to run a study, or a part of one.

        Args:
            study: the study, with every gap a number.
            layout: its folder.
            manifest: of that folder, with an entry for every run.
            record: called once the manifest is closed; `run` returns what it returns.
            executor: measures the runs.
            settings: of this machine.
            control: for a request to stop.
            on_event: called for each event.
            measure: what each run calls.
            limits: retries and the time limit; None: none.
            gpus: whose temperature and processes are watched between runs; None: none.
            expected_failures: hashes of the points that pre-flight expects to fail; their failures
                do not count towards `max_consecutive_failures`.
            history: what earlier runs of the study have read; None: there are none.
            earlier: entries of runs in other folders of the study, from which the duration of a
                run is estimated.
            usual_run_s: seconds of a run of a point by earlier studies, by its hash.
        """
        self._study = study
        self._layout = layout
        self._manifest = manifest
        self._record = record
        self._executor = executor
        self._settings = settings
        self._control = control
        self._on_event = on_event
        self._measure = measure
        self._limits = limits or Limits(control)
        self._gpus = gpus or Gpus()
        self._expected_failures = expected_failures
        self._history = history or InputHistory()
        self._earlier = earlier
        self._usual_run_s = usual_run_s
        self._abort_reason: str | None = None

    @property
    def abort_reason(self) -> str | None:
        """Return why the study was aborted; None if it was not."""
        return self._abort_reason

    def run(self, runs: Sequence[PlannedRun]) -> Record:
        """Execute `runs` in this order, and return their record; all is then on disk."""
        records = RunRecords(self._layout, self._manifest)
        launcher = Launcher(self._executor, records, self._measure)
        try:
            status = self._execute(runs, records, launcher)
        except BaseException as error:
            with contextlib.suppress(LlemError):  # as far as a full disk permits
                self._finish("interrupted" if isinstance(error, KeyboardInterrupt) else "aborted")
            raise
        finally:
            launcher.close()
        return self._finish(status)

    def _execute(
        self, runs: Sequence[PlannedRun], records: RunRecords, launcher: Launcher
    ) -> StudyStatus:
        if runs and isinstance(self._executor, NoteGiver):
            for note in self._executor.notes(sorted({run.config.backend for run in runs})):
                self._on_event(Note(note))
        known = (*self._earlier, *self._manifest.manifest.entries)
        remaining = RemainingTime(runs, self._study.execution, known, self._usual_run_s)
        self._on_event(
            StudyStarted(
                self._layout.folder,
                len(runs),
                self._manifest.n_planned,
                remaining.gaps_s,
                remaining.left_s(),
                remaining.least_s,
                remaining.unknown,
            )
        )
        attempts = AttemptMaker(
            self._study,
            self._manifest,
            records,
            launcher,
            remaining,
            settings=self._settings,
            control=self._control,
            on_event=self._on_event,
            limits=self._limits,
            gpus=self._gpus,
            history=self._history,
        )
        n_failures = 0  # in a row
        previous_cycle: int | None = None
        for run, following in itertools.zip_longest(runs, runs[1:]):
            gap = gap_between(previous_cycle, run.cycle, self._study.execution)
            remaining.begin(gap)
            outcome = self._attempt(attempts, run, gap, following)
            if isinstance(outcome, Interrupted):
                return "interrupted"
            previous_cycle = run.cycle
            if not isinstance(outcome, Failed):
                n_failures = 0
            elif run.config_hash not in self._expected_failures:
                n_failures += 1
            if n_failures >= self._study.execution.max_consecutive_failures:
                self._abort_reason = (
                    f"{n_failures} runs failed in a row, as many as "
                    "execution.max_consecutive_failures allows"
                )
                return "aborted"
        return "failed" if self._manifest.totals.failed else "completed"

    def _attempt(
        self,
        attempts: AttemptMaker,
        run: PlannedRun,
        gap: GapKind | None,
        following: PlannedRun | None,
    ) -> Outcome:
        """Execute a run, and again after a crash, as often as is allowed."""
        n_retries = self._limits.retry
        while True:
            outcome = attempts.make(run, gap, following, n_retries)
            if not can_retry(outcome, n_retries):
                return outcome
            n_retries -= 1
            gap = "config"

    def _finish(self, status: StudyStatus) -> Record:
        try:
            self._manifest.finish(status)
            return self._record()
        finally:
            reason = self._limits.reason if status == "interrupted" else self._abort_reason
            self._on_event(StudyEnded(self._layout.folder, status, reason))
