"""One call of `run_study` or `resume_study`: the checks, and the runner that they lead to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from llem_config import StudyConfig
from llem_energy.models import InputDigest, damaged_files, digest_inputs
from llem_energy.preflight import Machine, gpus_used
from llem_runner._analysis.input_changes import InputHistory
from llem_runner._control import Control
from llem_runner._events import OnEvent, PreflightWarning, ReadingInputs
from llem_runner._executors.protocol import Executor, VariableTaker
from llem_runner._executors.task import Measure
from llem_runner._gpus.locks import Queue, hold_gpus, why_not_locked
from llem_runner._storage.layout import Layout
from llem_runner._storage.manifest import ManifestEntry
from llem_runner._storage.manifest_writer import ManifestWriter
from llem_runner._storage.study_result import StudyResult
from llem_runner._study.forecast import usual_run_s as usual_run_s_of
from llem_runner._study.limits import Limits
from llem_runner._study.preflight import check
from llem_runner._study.preparation import ChosenExecutor, choose_executor, gpus_to_watch
from llem_runner._study.record import write_record
from llem_runner._study.runner import Record, StudyRunner


class Caller(NamedTuple):
    """What the caller wants, apart from the study."""

    machine: Machine
    control: Control
    limits: Limits
    on_event: OnEvent
    measure: Measure
    executor: Executor | None
    wait: bool
    wait_at_most_s: float = math.inf
    """How long to wait for a GPU, if at all."""


class Session(NamedTuple):
    """A study that can start."""

    study: StudyConfig
    caller: Caller
    gpus: tuple[str, ...]
    """UUIDs of the GPUs that the study uses."""
    chosen: ChosenExecutor
    expected_failures: frozenset[str]

    inputs: tuple[tuple[InputDigest, ...], ...]
    """What each point reads from files."""

    @contextmanager
    def gpus_held(self) -> Iterator[None]:
        """Hold the locks of the study's GPUs.

        Raises:
            StudyLocked: another study holds one of them, and the caller does not wait, or has
                waited as long as it will.
            KeyboardInterrupt: a stop was requested while waiting.
        """
        caller = self.caller
        if self.gpus and (reason := why_not_locked()):
            caller.on_event(PreflightWarning(reason))
        queue = None
        if caller.wait:
            queue = Queue(caller.control, caller.on_event, at_most_s=caller.wait_at_most_s)
        with hold_gpus(self.gpus, queue, self.study.name):
            yield

    def study_runner(
        self, layout: Layout, manifest: ManifestWriter, history: InputHistory | None = None
    ) -> StudyRunner[StudyResult]:
        """Return the runner of the study in its folder, which also writes its record."""

        def record() -> StudyResult:
            return write_record(
                self.study,
                layout,
                manifest,
                self.caller.machine.settings,
                limits_enforced=self.chosen.executor.enforces_limits,
            )

        usual_run_s = usual_run_s_of(self.study, layout.folder.parent)
        return self.runner(layout, manifest, record, history, usual_run_s=usual_run_s)

    def runner(
        self,
        layout: Layout,
        manifest: ManifestWriter,
        record: Callable[[], Record],
        history: InputHistory | None = None,
        earlier: Sequence[ManifestEntry] = (),
        usual_run_s: Mapping[str, float] | None = None,
    ) -> StudyRunner[Record]:
        """Return a runner of the study; `history` is of the runs that are kept."""
        caller = self.caller
        return StudyRunner(
            self.study,
            layout,
            manifest,
            record=record,
            executor=self.chosen.executor,
            settings=caller.machine.settings,
            control=caller.control,
            on_event=caller.on_event,
            measure=caller.measure,
            limits=caller.limits,
            gpus=gpus_to_watch(self.gpus, caller.machine),
            expected_failures=self.expected_failures,
            history=history,
            earlier=earlier,
            usual_run_s=usual_run_s,
        )


def begin_session(study: StudyConfig, results_dir: Path, caller: Caller) -> Session:
    """Check that a study can start, and send the warnings.

    Args:
        study: with every gap a number.
        results_dir: where its files will be written.
        caller: of `run_study` or `resume_study`.

    Raises:
        PreflightError: it cannot start.
        StudyError: no installed package provides the executor that the settings name.
        KeyboardInterrupt: a stop was requested.
    """
    machine = caller.machine
    preflight = check(study, results_dir, machine)
    for warning in preflight.warnings:
        caller.on_event(PreflightWarning(warning))
    if caller.control.stop_requested:
        raise KeyboardInterrupt
    chosen = choose_executor(caller.executor, machine.settings)
    if isinstance(chosen.executor, VariableTaker):
        chosen.executor.set_variables(machine.run_variables)
    return Session(
        study,
        caller,
        tuple(gpus_used(study.experiments, machine)),
        chosen,
        preflight.expected_failures,
        _read_inputs(study, caller),
    )


def _read_inputs(study: StudyConfig, caller: Caller) -> tuple[tuple[InputDigest, ...], ...]:
    """Read the models once, before the first run; the runs then take the digests from the cache.

    Raises:
        KeyboardInterrupt: a stop was requested.
    """

    def report(n_read_bytes: int, n_bytes: int) -> None:
        caller.on_event(ReadingInputs(n_read_bytes, n_bytes))
        if caller.control.stop_requested:
            raise KeyboardInterrupt("stopped while the models were read; no run was started")

    inputs = digest_inputs(study.experiments, report)
    for line in damaged_files(dict.fromkeys(each for point in inputs for each in point)):
        caller.on_event(PreflightWarning(line))
    return inputs
