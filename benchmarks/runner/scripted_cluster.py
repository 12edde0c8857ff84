"""A cluster of processes on this machine, which starts the shards of a study and disturbs them.

Each node multiplies the energies of its runs by its own factor. As a batch system does, the cluster
starts a task again that exits with code 75, on another node; it may also forget one, and what nothing
runs any more is topped up from the files of the study.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from llem_runner import read_manifest
from llem_runner.shards import open_shards

Fault = Literal["kill task", "kill run", "kill both", "stop", "warn", "double", "forget"]
"""SIGKILL of the process of a shard, of its run, or of both; SIGTERM, as when a task is preempted; SIGUSR2,
as when the time limit is near; a second process for the same shard, as when a node is cut off; SIGTERM of
a task that is not started again, as when it is cancelled."""
FAULTS: tuple[Fault, ...] = get_args(Fault)
_SIGNALS = {"stop": signal.SIGTERM, "forget": signal.SIGTERM, "warn": signal.SIGUSR2}
NODES = {"n1": 1.0, "n2": 1.06}
TESTS = Path(__file__).parents[2] / "tests"
_AGAIN = 75
_MAX_S = 900.0


class Task(NamedTuple):
    """A process that works on a shard."""

    shard: int
    node: str
    process: subprocess.Popen[bytes]


class Report(NamedTuple):
    """What a disturbed study has become."""

    faults: Counter[str]
    n_planned: int
    n_completed: int
    n_begun: int
    """Number of times that a run was started."""
    n_superseded: int
    n_attempts: int
    overwritten: list[str]
    """Results that changed after they were first seen."""
    orphans: list[int]
    """Processes that live ten seconds after the last task has ended."""
    scratch: list[str]
    """Temporary files that are left."""
    seconds: float


class ScriptedCluster:
    """Runs the shards of one study to their end, with faults at random times."""

    def __init__(
        self,
        folder: Path,
        chance: random.Random,
        *,
        n_slots: int = 2,
        seconds_per_run: float = 0.05,
    ) -> None:
        self.folder = folder
        self._chance = chance
        self._n_slots = n_slots
        self._seconds = seconds_per_run
        self._marker = f"LLEM_CAMPAIGN={folder.name}-{os.getpid()}-{time.monotonic_ns()}"
        self._waiting: list[int] = []
        self._tasks: list[Task] = []
        self._forgotten: set[int] = set()
        self._digests: dict[str, str] = {}
        self._overwritten: list[str] = []
        self._log = (folder.parent / f"{folder.name}.log").open("ab")

    def run(self, n_faults: int, *, every_s: tuple[float, float] = (0.3, 3.0)) -> Report:
        """Run all shards, with up to `n_faults` faults, and check the files.

        Args:
            n_faults: number of faults; fewer if the study completes before.
            every_s: shortest and longest time between two faults, in seconds.

        Raises:
            AssertionError: the study does not end.
        """
        start_s = time.monotonic()
        faults: Counter[str] = Counter()
        next_s = start_s + self._chance.uniform(*every_s)
        try:
            while True:
                assert time.monotonic() - start_s < _MAX_S, "the study does not end"
                self._collect()
                if not self._tasks and not self._waiting:
                    self._waiting = list(open_shards(self.folder, retry_failed=True))
                    self._forgotten.clear()
                    if not self._waiting:
                        break
                while self._waiting and len(self._tasks) < self._n_slots:
                    self._start(self._waiting.pop(0))
                self._look()
                if time.monotonic() >= next_s and faults.total() < n_faults:
                    next_s = time.monotonic() + self._chance.uniform(*every_s)
                    fault = self._chance.choice(FAULTS)
                    if self._disturb(fault):
                        faults[fault] += 1
                time.sleep(0.05)
        finally:
            for task in self._tasks:
                task.process.kill()
            self._log.close()
        return self._report(faults, start_s)

    def _start(self, shard: int, node: str | None = None) -> None:
        node = node or self._chance.choice(list(NODES))
        name, _, value = self._marker.partition("=")
        path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        process = subprocess.Popen(
            [sys.executable, "-m", "fakes.shard_studies", str(self.folder), str(shard)],
            env={
                **os.environ,
                "PYTHONPATH": path,
                name: value,
                "LLEM_TEST_EFFECT": str(NODES[node]),
                "LLEM_TEST_SECONDS": str(self._seconds),
            },
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._tasks.append(Task(shard, node, process))

    def _collect(self) -> None:
        """Forget the tasks that have ended; put those back that may run again."""
        for task in list(self._tasks):
            code = task.process.poll()
            if code is None:
                continue
            self._tasks.remove(task)
            # A task that was killed is put back by some batch systems and lost by others.
            is_killed = code < 0 and self._chance.random() < 0.5
            if (code == _AGAIN or is_killed) and task.shard not in self._forgotten:
                self._waiting.append(task.shard)

    def _disturb(self, fault: Fault) -> bool:
        """Do one fault to a random task; return False if there is nothing to do it to."""
        if not self._tasks:
            return False
        task = self._chance.choice(self._tasks)
        if fault == "double":
            self._start(task.shard, next(node for node in NODES if node != task.node))
            return True
        if fault == "forget":
            self._forgotten.add(task.shard)
        victims = self._victims(fault, task.process.pid)
        for pid in victims:
            send(pid, _SIGNALS.get(fault, signal.SIGKILL))
        return bool(victims)

    def _victims(self, fault: Fault, task: int) -> list[int]:
        """Return the processes that get a signal; none if there is no run to kill."""
        if fault not in ("kill run", "kill both"):
            return [task]
        runs = self._processes(lambda pid: is_run_of(pid, task))
        return [task, *runs] if runs and fault == "kill both" else runs

    def _look(self) -> None:
        """Note every new result, and every one that has changed."""
        for path in self.folder.glob("shards/*/a*/*/result.json"):
            name = path.relative_to(self.folder).as_posix()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if self._digests.setdefault(name, digest) != digest:
                self._overwritten.append(name)

    def _processes(self, wanted: Callable[[int], bool]) -> list[int]:
        """Return the live processes of the study that are wanted."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._marker.encode() not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                if fields_of(int(folder.name))[0] not in "ZX" and wanted(int(folder.name)):
                    found.append(int(folder.name))
            except (OSError, IndexError):
                continue
        return found

    def _report(self, faults: Counter[str], start_s: float) -> Report:
        seconds = time.monotonic() - start_s
        deadline_s = time.monotonic() + 10
        while (orphans := self._processes(lambda _: True)) and time.monotonic() < deadline_s:
            time.sleep(0.2)
        self._look()
        manifest = read_manifest(self.folder)
        lost = [name for name in self._digests if not (self.folder / name).exists()]
        return Report(
            faults,
            n_planned=len(manifest.entries),
            n_completed=manifest.totals.completed,
            n_begun=sum(entry.attempts for entry in manifest.entries),
            n_superseded=manifest.n_superseded,
            n_attempts=len(list(self.folder.glob("shards/*/a*"))),
            overwritten=[*self._overwritten, *lost],
            orphans=orphans,
            scratch=[
                str(path.relative_to(self.folder)) for path in self.folder.rglob(".llem-*.tmp")
            ],
            seconds=seconds,
        )


def fields_of(pid: int) -> list[str]:
    """Return the fields of a process from its state on; proc(5), `stat`."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def is_run_of(pid: int, task: int) -> bool:
    """Return whether a process measures a run of a task."""
    return (
        int(fields_of(pid)[1]) == task and b"llem-run" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
