"""The local executor: a new child process for every run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from llem_runner._executors.local.bytecode import find_bytecode_cache, trim_bytecode
from llem_runner._executors.local.parent import ChildProcess
from llem_runner._executors.local.spawning import check_can_start
from llem_runner._executors.task import Measure
from llem_runner._plan.schedule import PlannedRun


class LocalExecutor:
    """Measures each run in a child process of its own, on this machine."""

    enforces_limits = True

    def __init__(self) -> None:
        """Make an executor.

        Raises:
            StudyError: this program cannot start the process of a run.
        """
        check_can_start()
        self._variables: dict[str, str] = {}

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Set what each child process has in its environment; see `VariableTaker`."""
        self._variables = dict(variables)

    def start(self, run: PlannedRun, *, log: Path, measure: Measure) -> ChildProcess:
        """Start a child process that imports and waits; see `Executor.start`."""
        return ChildProcess(run.config, measure=measure, log=log, variables=self._variables)

    def notes(self, backends: Iterable[str]) -> list[str]:
        """Return what the user should know about the child processes; see `NoteGiver`."""
        notes: list[str] = []
        for backend in backends:
            cache = find_bytecode_cache(backend)
            if cache.folder is not None:
                trim_bytecode(cache.folder)
            if cache.note is not None:
                notes.append(cache.note)
        return notes
