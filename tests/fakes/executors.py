"""An executor as another package would write it, with public names of llem only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from llem_runner.executors import (
    Control,
    Interrupted,
    Leftovers,
    Measure,
    OnStage,
    Outcome,
    PlannedRun,
    Task,
    measure_task,
)


class RecordingExecutor:
    """Measures in the calling thread, and records every call."""

    def __init__(self, *, enforces_limits: bool = False) -> None:
        self.enforces_limits = enforces_limits
        self.calls: list[tuple[str, int]] = []
        self.tasks: list[Task] = []

    def start(self, run: PlannedRun, *, log: Path, measure: Measure) -> RecordingExecution:
        self.calls.append(("start", run.index))
        log.write_text(f"log of run {run.index}\n")
        return RecordingExecution(self, run, measure)


class RecordingExecution:
    """One run of the executor."""

    ended_s = None

    def __init__(self, executor: RecordingExecutor, run: PlannedRun, measure: Measure) -> None:
        self._executor = executor
        self._run = run
        self._measure = measure

    def measure(
        self,
        task: Task,
        *,
        control: Control,
        on_stage: OnStage,
        on_result: Callable[[], None],
    ) -> Outcome:
        self._executor.calls.append(("measure", self._run.index))
        self._executor.tasks.append(task)
        if control.stop_requested:
            return Interrupted()
        outcome = measure_task(self._measure, task, on_stage)
        on_result()
        return outcome

    def close(self) -> Leftovers:
        self._executor.calls.append(("close", self._run.index))
        return Leftovers()


def make_executor() -> RecordingExecutor:
    """Return an executor whose runs end at their timeout; named by an entry point in a test."""
    return RecordingExecutor(enforces_limits=True)
