"""Executes planned runs one by one: worker, gap, measurement, booking."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from llem_config import Settings, StudyConfig
from llem_energy import encode_result
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
from llem_runner._layout import LOG, RESULT, TIMESERIES, Layout
from llem_runner._manifest import ManifestWriter, StudyStatus
from llem_runner._messages import Failed, Finished, Interrupted, Outcome, Task
from llem_runner._process import Worker
from llem_runner._results import StudyResult
from llem_runner._schedule import PlannedRun, gap_seconds
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

    def run(self, runs: Sequence[PlannedRun], *, isolated: bool = True) -> StudyResult:
        """Execute `runs` and return the study's record, which is then also on disk."""
        execution = self._study.execution
        self._on_event(
            StudyStarted(
                self._layout.folder,
                len(runs),
                len(self._manifest.manifest.entries),
                sum(gap_seconds(run, execution) for run in runs[1:]),
            )
        )
        status: StudyStatus = "interrupted"
        try:
            status = self._execute(runs, isolated)
        finally:
            # Also on KeyboardInterrupt, and on a full disk as far as that lets us.
            with contextlib.suppress(StudyError):
                self._manifest.finish(status)
            self._on_event(StudyEnded(self._layout.folder, status))
        result = summarise(self._study, self._layout, self._manifest.manifest, self._settings)
        write_atomically(self._layout.study_result, encode_json(result))
        return result

    def _execute(self, runs: Sequence[PlannedRun], isolated: bool) -> StudyStatus:
        n_in_a_row = 0
        for position, run in enumerate(runs):
            worker = self._start(run) if isolated else None
            try:
                self._wait_gap(run, first=position == 0)
                if self._control.stop_requested:
                    return "interrupted"
                outcome = self._measure_one(run, worker)
            finally:
                if worker is not None:
                    worker.close()
                self._tidy(run)
            if isinstance(outcome, Interrupted):
                return "interrupted"
            n_in_a_row = n_in_a_row + 1 if isinstance(outcome, Failed) else 0
            if n_in_a_row >= self._study.execution.max_consecutive_failures:
                return "aborted"
        return "failed" if self._manifest.manifest.totals.failed else "completed"

    def _start(self, run: PlannedRun) -> Worker:
        folder = self._layout.run_folder(run)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise StudyError(f"{folder} cannot be created: {error.strerror}") from error
        return Worker(run.config, measure=self._measure, log=folder / LOG)

    def _wait_gap(self, run: PlannedRun, *, first: bool) -> None:
        if first or run.gap is None:
            return
        wait_gap(
            run.gap,
            gap_seconds(run, self._study.execution),
            since_s=self._last_end_s,
            until_temperature_c=self._settings.execution.gap_until_temperature_c,
            control=self._control,
            on_event=self._on_event,
        )

    def _measure_one(self, run: PlannedRun, worker: Worker | None) -> Outcome:
        for name in (RESULT, TIMESERIES):  # of an earlier attempt; the log goes on
            (self._layout.run_folder(run) / name).unlink(missing_ok=True)
        self._manifest.mark_running(run)
        self._on_event(RunStarted(run.index, run.cycle, run.label))
        start_s = time.perf_counter()
        try:
            outcome = self._in_child(run, worker) if worker else self._here(run)
        except KeyboardInterrupt:
            self._manifest.mark_interrupted(run)
            if self._control.stop_requested:
                return Interrupted()  # asked for through the control, so not raised again
            raise
        self._last_end_s = time.perf_counter()
        self._book(run, outcome, self._last_end_s - start_s)
        return outcome

    def _in_child(self, run: PlannedRun, worker: Worker) -> Outcome:
        return worker.run(
            settings=self._settings,
            timeseries=self._layout.run_folder(run) / TIMESERIES,
            timeout_s=self._study.execution.timeout_seconds,
            control=self._control,
            on_stage=lambda name: self._on_event(RunStage(run.index, name)),
        )

    def _here(self, run: PlannedRun) -> Outcome:
        folder = self._layout.run_folder(run)
        folder.mkdir(exist_ok=True)
        task = Task(
            run.config.model_dump_json(),
            self._settings.model_dump_json(),
            str(folder / TIMESERIES),
        )
        with (folder / LOG).open("a", encoding="utf-8") as log:
            self._control.measuring_here = True
            try:
                with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                    return attempt(
                        self._measure,
                        task,
                        lambda name: self._on_event(RunStage(run.index, name)),
                    )
            finally:
                self._control.measuring_here = False

    def _book(self, run: PlannedRun, outcome: Outcome, seconds: float) -> None:
        folder = self._layout.run_folder(run)
        match outcome:
            case Finished(result):
                # Result first: the manifest must never point at a file that is not there.
                write_atomically(folder / RESULT, encode_result(result))
                self._manifest.mark_completed(run, folder / RESULT)
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
