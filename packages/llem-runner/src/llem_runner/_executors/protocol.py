"""The executor protocol: where and how the runs of a study are measured.

A study calls `start` for a run, possibly while it still writes the result of the run before, then
`measure` once the gap is over, then `close`. One execution at a time measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from llem_runner._control import Control
from llem_runner._executors.task import Measure, OnStage, Task
from llem_runner._outcome import Outcome
from llem_runner._plan.schedule import PlannedRun


class Leftovers(msgspec.Struct, frozen=True, kw_only=True):
    """What may still exist of a run, on the machine that runs the study, after `close`."""

    pids: tuple[int, ...] = ()
    """Processes that belonged to the run alone. Before the next run the study waits until none of
    them is on a GPU. () if the run had no process of its own here: nothing is waited for."""
    alive_pids: tuple[int, ...] = ()
    """Those of them that could not be ended. The study is aborted if they stay."""


class Execution(Protocol):
    """One attempt at one run."""

    @property
    def ended_s(self) -> float | None:
        """Return when the measurement ended, on the clock of `time.perf_counter`.

        The gap before the next run counts from then. None: from when `measure` returned.
        """

    def measure(
        self,
        task: Task,
        *,
        control: Control,
        on_stage: OnStage,
        on_result: Callable[[], None],
    ) -> Outcome:
        """Measure, and return the outcome; an exception of the measurement is a `Failed`.

        Args:
            task: what to measure, and its time limits if the executor enforces them.
            control: `control.fileno()` becomes readable when a stop is requested. The execution
                then ends the measurement and returns `Interrupted`.
            on_stage: call it at the beginning of each stage, in the calling thread.
            on_result: call it once, if at all, when a result has arrived and only cleaning up is
                left; the study then starts the execution of the next run.

        Raises:
            StudyError: no run of this study could be measured this way.
            KeyboardInterrupt: raised in the calling thread meanwhile; the measurement was ended.
        """

    def close(self) -> Leftovers:
        """End everything that belongs to the run; safe to call twice and before `measure`."""


class Executor(Protocol):
    """A way to measure runs, such as in a child process or on another machine."""

    @property
    def enforces_limits(self) -> bool:
        """Return whether a run is ended at its timeout; the study's record shows it."""

    def start(self, run: PlannedRun, *, log: Path, measure: Measure) -> Execution:
        """Prepare to measure a run, before it is due.

        It may start processes and import libraries. It must not touch a GPU or load a model: the
        run before may not be over yet.

        Args:
            run: the run; its folder exists.
            log: file to append the output of the run to.
            measure: a function that another process can import by its module and name.

        Raises:
            StudyError: the log cannot be written.
        """


@runtime_checkable
class NoteGiver(Protocol):
    """An executor that has something to tell the user before the first run; optional."""

    def notes(self, backends: Iterable[str]) -> Iterable[str]:
        """Return sentences that the study passes on once, before its first run.

        Args:
            backends: names of the backends whose experiments will be measured.
        """


@runtime_checkable
class VariableTaker(Protocol):
    """An executor whose runs have an environment of their own on this machine; optional."""

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Set variables of the environment of all runs that start later.

        Args:
            variables: such as CUDA_VISIBLE_DEVICES, with the UUIDs of the GPUs that the study holds.
        """
