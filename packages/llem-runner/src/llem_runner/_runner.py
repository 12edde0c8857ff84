"""Executes planned runs one by one: worker, gap, measurement, booking."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence

from llem_config import LlemError, Settings, StudyConfig
from llem_energy import Prior, encode_result, prior_of
from llem_runner._calibrations import known_calibrations, remember
from llem_runner._control import Control
from llem_runner._errors import StudyError
from llem_runner._events import (
    Event,
    RunFailed,
    RunFinished,
    RunStage,
    RunStarted,
    StudyEnded,
    StudyStarted,
)
from llem_runner._files import encode_json, write_atomically
from llem_runner._gap import wait_gap
from llem_runner._layout import LOG, REQUESTS, RESULT, TIMESERIES, Layout
from llem_runner._manifest import ManifestWriter, StudyStatus
from llem_runner._messages import Failed, Finished, Interrupted, Outcome, Task
from llem_runner._process import Worker
from llem_runner._results import StudyResult
from llem_runner._schedule import GapKind, PlannedRun, gap_between, gap_seconds
from llem_runner._summary import summarise
from llem_runner._worker import Measure, attempt

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
    ) -> None:
        self._study = study
        self._layout = layout
        self._manifest = manifest
        self._settings = settings
        self._control = control
        self._on_event = on_event
        self._measure = measure
        self._last_end_s = time.perf_counter()
        self._prior = Prior(calibration=known_calibrations())

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
            self._on_event(StudyEnded(self._layout.folder, status))

    def _started(self, runs: Sequence[PlannedRun]) -> StudyStarted:
        execution = self._study.execution
        cycles = [None, *(run.cycle for run in runs)]
        gaps = [gap_between(a, run.cycle, execution) for a, run in zip(cycles, runs, strict=False)]
        return StudyStarted(
            self._layout.folder,
            len(runs),
            len(self._manifest.manifest.entries),
            sum(gap_seconds(gap, execution) for gap in gaps),
        )

    def _execute(self, runs: Sequence[PlannedRun], isolated: bool) -> StudyStatus:
        n_in_a_row = 0
        before: int | None = None
        for run in runs:
            self._make_folder(run)
            worker = self._worker(run) if isolated else None
            try:
                self._wait_gap(gap_between(before, run.cycle, self._study.execution))
                if self._control.stop_requested:
                    return "interrupted"
                outcome = self._measure_one(run, worker)
            finally:
                if worker is not None:
                    worker.close()
                self._tidy(run)
            if isinstance(outcome, Interrupted):
                return "interrupted"
            before = run.cycle
            n_in_a_row = n_in_a_row + 1 if isinstance(outcome, Failed) else 0
            if n_in_a_row >= self._study.execution.max_consecutive_failures:
                return "aborted"
        return "failed" if self._manifest.manifest.totals.failed else "completed"

    def _make_folder(self, run: PlannedRun) -> None:
        folder = self._layout.run_folder(run)
        try:
            folder.mkdir(exist_ok=True)
            # Of an earlier attempt; the log simply goes on.
            for name in (RESULT, TIMESERIES, REQUESTS):
                if (folder / name).exists():
                    (folder / name).replace(folder / f"{name}.old")
        except OSError as error:
            raise StudyError(f"{folder} cannot be written: {error.strerror}") from error

    def _worker(self, run: PlannedRun) -> Worker:
        log = self._layout.run_folder(run) / LOG
        return Worker(run.config, measure=self._measure, log=log)

    def _wait_gap(self, kind: GapKind | None) -> None:
        if kind is None:
            return
        wait_gap(
            kind,
            gap_seconds(kind, self._study.execution),
            since_s=self._last_end_s,
            until_temperature_c=self._settings.execution.gap_until_temperature_c,
            control=self._control,
            on_event=self._on_event,
        )

    def _measure_one(self, run: PlannedRun, worker: Worker | None) -> Outcome:
        self._manifest.mark_running(run)
        start_s = time.perf_counter()
        try:
            self._on_event(RunStarted(run.index, run.cycle, run.label))
            outcome = self._in_child(run, worker) if worker else self._here(run)
        except KeyboardInterrupt:
            self._manifest.mark_interrupted(run)
            if self._control.stop_requested:
                return Interrupted()  # asked for through the control, so not raised again
            raise
        ended_s = worker.ended_s if worker else None
        self._last_end_s = ended_s or time.perf_counter()
        self._book(run, outcome, self._last_end_s - start_s)
        return outcome

    def _in_child(self, run: PlannedRun, worker: Worker) -> Outcome:
        return worker.run(
            settings=self._settings,
            timeseries=self._layout.run_folder(run) / TIMESERIES,
            timeout_s=self._study.execution.timeout_seconds,
            control=self._control,
            on_stage=lambda name: self._on_event(RunStage(run.index, name)),
            prior=self._prior,
        )

    def _here(self, run: PlannedRun) -> Outcome:
        folder = self._layout.run_folder(run)
        task = Task(
            run.config.model_dump_json(),
            self._settings.model_dump_json(),
            str(folder / TIMESERIES),
            self._prior,
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

    def _book(self, run: PlannedRun, outcome: Outcome, seconds: float) -> None:
        folder = self._layout.run_folder(run)
        match outcome:
            case Finished(result):
                # Result first: the manifest must never point at a file that is not there.
                write_atomically(folder / RESULT, encode_result(result))
                self._manifest.mark_completed(run, folder / RESULT)
                self._prior = remember(prior_of(result, self._prior), self._prior)
                self._on_event(
                    RunFinished(
                        run.index,
                        seconds,
                        result.tokens_per_second,
                        result.energy_per_output_token_j,
                    )
                )
            case Failed():
                self._manifest.mark_failed(run, outcome)
                self._on_event(
                    RunFailed(run.index, seconds, outcome.error_type, outcome.message, folder / LOG)
                )
            case Interrupted():
                self._manifest.mark_interrupted(run)

    def _tidy(self, run: PlannedRun) -> None:
        """Take away the folder of a run that never began."""
        if self._manifest.entry(run).status != "pending":
            return
        folder = self._layout.run_folder(run)
        log = folder / LOG
        if log.is_file() and log.stat().st_size == 0:
            log.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()
