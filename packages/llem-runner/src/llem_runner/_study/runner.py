"""Executes planned runs one by one: worker, gap, measurement, booking."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Sequence

from llem_config import LlemError, Settings, StudyConfig
from llem_energy import Carryover, carryover_from
from llem_runner._analysis.summary import summarise
from llem_runner._control import Control
from llem_runner._events import (
    Event,
    RunFailed,
    RunFinished,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
)
from llem_runner._executors.local.launcher import Workers
from llem_runner._executors.local.leftovers import wait_until_clear
from llem_runner._executors.local.messages import Task
from llem_runner._executors.local.parent import Worker
from llem_runner._executors.measure import Measure, attempt
from llem_runner._gpus.state import Gpus, temperatures_of
from llem_runner._outcome import CRASHES, Failed, Finished, Interrupted, Outcome
from llem_runner._plan.schedule import GapKind, PlannedRun, gap_between, gap_seconds
from llem_runner._storage.atomic_files import encode_json, write_atomically
from llem_runner._storage.layout import LOG, TIMESERIES, Layout
from llem_runner._storage.manifest import ManifestWriter, StudyStatus
from llem_runner._storage.run_records import Booking
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.carryover import known_calibrations, remember
from llem_runner._study.duration import Estimate
from llem_runner._study.gap import Cooling, Gap
from llem_runner._study.limits import Limits

OnEvent = Callable[[Event], None]


class StudyRunner:
    """Executes planned runs one by one and books each of them."""

    def __init__(
        self,
        study: StudyConfig,
        layout: Layout,
        manifest: ManifestWriter,
        *,
        settings: Settings,
        control: Control,
        on_event: OnEvent,
        measure: Measure,
        limits: Limits | None = None,
        gpus: Gpus | None = None,
        expected_failures: frozenset[str] = frozenset(),
    ) -> None:
        self._study = study
        self._layout = layout
        self._manifest = manifest
        self._booking = Booking(layout, manifest)
        self._workers = Workers(layout, self._booking, measure)
        self._next: PlannedRun | None = None
        self._settings = settings
        self._control = control
        self._on_event = on_event
        self._measure = measure
        self._limits = limits or Limits(control)
        self._gpus = gpus or Gpus()
        self._expected_failures = expected_failures
        self._estimate = Estimate((), study.execution)
        self._last_end_s = time.perf_counter()
        self._reason: str | None = None
        self._carryover = Carryover(calibration=known_calibrations())

    def run(self, runs: Sequence[PlannedRun], *, isolated: bool = True) -> StudyResult:
        """Execute `runs` and return the study's record, which is then also on disk.

        Args:
            runs: what is to be done, in this order.
            isolated: each in a process of its own; else in this thread, where no timeout can end
                a run.
        """
        try:
            self._on_event(self._started(runs))
            status = self._execute(runs, isolated)
        except BaseException as error:
            asked = isinstance(error, KeyboardInterrupt)
            with contextlib.suppress(LlemError):  # as far as a full disk lets us
                self._finish("interrupted" if asked else "aborted", isolated)
            raise
        finally:
            self._workers.close()
        return self._finish(status, isolated)

    def _finish(self, status: StudyStatus, isolated: bool) -> StudyResult:
        try:
            self._manifest.finish(status)
            result = summarise(
                self._study,
                self._layout,
                self._manifest.manifest,
                self._settings,
                isolated=isolated,
            )
            write_atomically(self._layout.study_result, encode_json(result))
            return result
        finally:
            reason = self._limits.reason if status == "interrupted" else self._reason
            self._on_event(StudyEnded(self._layout.folder, status, reason))

    def _started(self, runs: Sequence[PlannedRun]) -> StudyStarted:
        known = self._manifest.manifest.entries
        self._estimate = Estimate(runs, self._study.execution, known)
        return StudyStarted(
            self._layout.folder,
            len(runs),
            self._manifest.n_planned,
            self._estimate.gaps_s,
            self._estimate.left_s(),
        )

    def _execute(self, runs: Sequence[PlannedRun], isolated: bool) -> StudyStatus:
        n_in_a_row = 0
        before: int | None = None
        for run, following in itertools.zip_longest(runs, runs[1:]):
            gap = gap_between(before, run.cycle, self._study.execution)
            self._next = following if isolated else None
            self._estimate.begin(gap)
            outcome = self._until_it_works(run, gap, isolated)
            if isinstance(outcome, Interrupted):
                return "interrupted"
            before = run.cycle
            if not isinstance(outcome, Failed):
                n_in_a_row = 0
            elif run.config_hash not in self._expected_failures:
                n_in_a_row += 1
            if n_in_a_row >= self._study.execution.max_consecutive_failures:
                self._reason = (
                    f"{n_in_a_row} runs failed in a row, as many as "
                    "execution.max_consecutive_failures allows"
                )
                return "aborted"
        return "failed" if self._manifest.totals.failed else "completed"

    def _until_it_works(self, run: PlannedRun, gap: GapKind | None, isolated: bool) -> Outcome:
        """Execute a run, and again after a crash, as often as is allowed."""
        for left in range(self._limits.retry, -1, -1):
            outcome = self._once(run, gap, isolated, left)
            if not _try_again(outcome, left):
                break
            gap = "config"
        return outcome

    def _once(self, run: PlannedRun, gap: GapKind | None, isolated: bool, left: int) -> Outcome:
        self._booking.make_folder(run)
        worker = self._workers.of(run) if isolated else None
        outcome: Outcome
        try:
            self._wait_gap(gap)
            fits = self._limits.allows(self._estimate.run_s(run.config_hash))
            if self._control.stop_requested or not fits:
                return Interrupted()
            states = self._gpus.states()
            outcome = self._measure_one(run, worker, left, temperatures_of(states))
        finally:
            if worker is not None:
                worker.close()
            self._booking.tidy(run)
        if worker is not None:
            pids = {uuid: state.pids or () for uuid, state in states.items()}
            wait_until_clear(
                run.index,
                own={worker.pid, *worker.left_behind},
                undead=worker.left_behind,
                before=pids,
                gpus=self._gpus,
                control=self._control,
                on_event=self._on_event,
            )
        return outcome

    def _wait_gap(self, kind: GapKind | None) -> None:
        if kind is None:
            return
        Gap(
            kind,
            self._last_end_s + gap_seconds(kind, self._study.execution),
            cooling=Cooling.of(self._settings, self._manifest.first_temperatures_c),
            gpus=self._gpus,
            control=self._control,
            on_event=self._on_event,
        ).wait()
        self._estimate.learn_gap(kind, time.perf_counter() - self._last_end_s)

    def _measure_one(
        self, run: PlannedRun, worker: Worker | None, left: int, warm: dict[str, float]
    ) -> Outcome:
        self._manifest.mark_running(run, warm)
        start_s = time.perf_counter()
        try:
            self._on_event(RunStarted(run.index, run.cycle, run.label, warm))
            outcome = self._in_child(run, worker) if worker else self._here(run)
        except KeyboardInterrupt:
            self._manifest.mark_interrupted(run)
            if self._control.stop_requested:
                return Interrupted()  # asked for through the control, so not raised again
            raise
        ended_s = worker.ended_s if worker else None
        self._last_end_s = ended_s or time.perf_counter()
        self._booking.book(run, outcome)
        self._tell(run, outcome, self._last_end_s - start_s, tried_again=_try_again(outcome, left))
        return outcome

    def _in_child(self, run: PlannedRun, worker: Worker) -> Outcome:
        execution = self._study.execution
        return worker.run(
            settings=self._settings,
            timeseries=self._layout.run_folder(run) / TIMESERIES,
            timeout_s=execution.timeout_seconds,
            # Idling is part of a measurement, and looks like nothing at all.
            stall_s=execution.stall_seconds + run.config.baseline.duration_seconds,
            control=self._control,
            on_stage=lambda name: self._on_event(RunStage(run.index, name)),
            carryover=self._carryover,
            on_result=self._start_next,
        )

    def _start_next(self) -> None:
        if self._next is None or self._control.stop_requested:
            return
        try:
            self._workers.start_ahead(self._next)
        except KeyboardInterrupt:  # as from a notebook: the result that has arrived is booked first
            self._control.request_stop()

    def _here(self, run: PlannedRun) -> Outcome:
        folder = self._layout.run_folder(run)
        task = Task(
            run.config.model_dump_json(),
            self._settings.model_dump_json(),
            str(folder / TIMESERIES),
            self._carryover,
        )
        out, err = sys.stdout, sys.stderr

        def on_stage(name: str) -> None:
            # The caller's callback prints where the caller prints, not into the run's log.
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                self._on_event(RunStage(run.index, name))

        with (
            (folder / LOG).open("a", encoding="utf-8") as log,
            self._control.measuring_here(),
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            return attempt(self._measure, task, on_stage)

    def _tell(
        self, run: PlannedRun, outcome: Outcome, seconds: float, *, tried_again: bool
    ) -> None:
        """Learn from a run that was booked, and say what came of it."""
        if not tried_again:
            self._estimate.done(run, seconds)
        n_left, left_s = self._estimate.n_left, self._estimate.left_s()
        match outcome:
            case Finished(result):
                self._carryover = remember(carryover_from(result, self._carryover), self._carryover)
                speed, energy = result.tokens_per_second, result.energy_per_output_token_j
                self._on_event(RunFinished(run.index, seconds, speed, energy, n_left, left_s))
            case Failed():
                self._on_event(
                    RunFailed(
                        run.index,
                        seconds,
                        outcome.error_type,
                        outcome.message,
                        self._layout.run_folder(run) / LOG,
                        outcome.reason,
                        outcome.log_tail,
                        tried_again,
                        n_left,
                        left_s,
                    )
                )
            case Interrupted():
                pass


def _try_again(outcome: Outcome, left: int) -> bool:
    return left > 0 and isinstance(outcome, Failed) and outcome.reason in CRASHES
