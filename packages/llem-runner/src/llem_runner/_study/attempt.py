"""One attempt at a run: gap, measurement, saving the outcome, waiting for leftovers."""

from __future__ import annotations

import time

from llem_config import Settings, StudyConfig
from llem_energy import carryover_from
from llem_runner._analysis.input_changes import InputHistory
from llem_runner._control import Control
from llem_runner._events import InputChanged, OnEvent, RunFailed, RunFinished, RunStage, RunStarted
from llem_runner._executors.launcher import Launcher
from llem_runner._executors.local.leftovers import wait_for_cleanup
from llem_runner._executors.protocol import Execution
from llem_runner._executors.task import Task
from llem_runner._gpus.state import Gpus, temperatures_of
from llem_runner._outcome import CRASHES, Failed, Finished, Interrupted, Outcome
from llem_runner._plan.schedule import GapKind, PlannedRun, gap_seconds
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._storage.run_records import RunRecords
from llem_runner._study.carryover import known_at_start, remember
from llem_runner._study.duration import RemainingTime
from llem_runner._study.gap import Cooling, Gap
from llem_runner._study.limits import Limits
from llem_runner._study.stage_times import StageTimes


class AttemptMaker:
    """Makes the attempts at one run after another, and carries over what runs learn."""

    def __init__(
        self,
        study: StudyConfig,
        manifest: ManifestWriter,
        records: RunRecords,
        launcher: Launcher,
        remaining: RemainingTime,
        *,
        settings: Settings,
        control: Control,
        on_event: OnEvent,
        limits: Limits,
        gpus: Gpus,
        history: InputHistory,
    ) -> None:
        self._study = study
        self._manifest = manifest
        self._records = records
        self._launcher = launcher
        self._remaining = remaining
        self._settings = settings
        self._control = control
        self._on_event = on_event
        self._limits = limits
        self._gpus = gpus
        self._history = history
        self._carryover = known_at_start()
        self._stages = StageTimes()
        self._last_end_s = time.perf_counter()

    def make(
        self, run: PlannedRun, gap: GapKind | None, following: PlannedRun | None, n_retries: int
    ) -> Outcome:
        """Make one attempt at a run.

        Args:
            run: the run.
            gap: the gap before it.
            following: the run after it, whose execution starts when the result has arrived.
            n_retries: further attempts that are allowed after a crash.

        Returns:
            The outcome, which is on disk. Also `Interrupted` if the run was not started, because a
            stop was requested or the time limit is near; then nothing is on disk.
        """
        self._records.make_folder(run)
        execution = self._launcher.start(run)
        try:
            self._wait_gap(gap)
            in_time = self._limits.allows(self._remaining.run_s(run.config_hash))
            if self._control.stop_requested or not in_time:
                return Interrupted()
            states = self._gpus.states()
            outcome = self._measure(run, execution, following, n_retries, temperatures_of(states))
        finally:
            leftovers = execution.close()
            self._records.clean_up(run)
        wait_for_cleanup(
            run.index,
            leftovers,
            before={uuid: state.pids or () for uuid, state in states.items()},
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
        self._remaining.learn_gap(kind, time.perf_counter() - self._last_end_s)

    def _measure(
        self,
        run: PlannedRun,
        execution: Execution,
        following: PlannedRun | None,
        n_retries: int,
        temperatures_c: dict[str, float],
    ) -> Outcome:
        self._manifest.mark_running(run, temperatures_c)
        start_s = time.perf_counter()
        try:
            self._stages.start_run()
            expected_s = self._remaining.run_s(run.config_hash)
            self._on_event(RunStarted(run.index, run.cycle, run.label, temperatures_c, expected_s))
            outcome = execution.measure(
                self._task(run),
                control=self._control,
                on_stage=lambda name: self._on_event(
                    RunStage(run.index, name, self._stages.begin(run, name))
                ),
                on_result=lambda: self._start_next(following),
            )
        except KeyboardInterrupt:
            self._manifest.mark_interrupted(run)
            if self._control.stop_requested:
                return Interrupted()  # requested through the control, so not raised again
            raise
        self._last_end_s = execution.ended_s or time.perf_counter()
        changes: list[str] = []
        if isinstance(outcome, Finished):
            changes = self._history.add(run.index, outcome.result)
            self._manifest.add_input_changes(changes)
        self._records.save(run, outcome)
        for change in changes:
            self._on_event(InputChanged(run.index, change))
        self._report(run, outcome, self._last_end_s - start_s, can_retry(outcome, n_retries))
        return outcome

    def _task(self, run: PlannedRun) -> Task:
        execution = self._study.execution
        return Task(
            run.config.model_dump_json(),
            self._settings.model_dump_json(),
            str(self._records.timeseries_file(run)),
            self._carryover,
            timeout_s=execution.timeout_seconds,
            # During the idle baseline a run shows no sign of progress.
            stall_s=execution.stall_seconds + run.config.baseline.duration_seconds,
        )

    def _start_next(self, following: PlannedRun | None) -> None:
        if following is None or self._control.stop_requested:
            return
        try:
            self._launcher.start_ahead(following)
        except KeyboardInterrupt:  # as in a notebook: the result that has arrived is saved first
            self._control.request_stop()

    def _report(self, run: PlannedRun, outcome: Outcome, seconds: float, retrying: bool) -> None:
        """Learn from a run that was saved, and send its event."""
        if not retrying:
            self._remaining.done(run, seconds)
        n_left, left_s = self._remaining.n_left, self._remaining.left_s()
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
                        self._records.log_file(run),
                        outcome.reason,
                        outcome.log_tail,
                        retrying,
                        n_left,
                        left_s,
                    )
                )
            case Interrupted():
                pass


def can_retry(outcome: Outcome, n_retries: int) -> bool:
    """Return whether another attempt follows: the process crashed, and retries are left."""
    return n_retries > 0 and isinstance(outcome, Failed) and outcome.reason in CRASHES
