"""Divided studies on a loopback Slurm, whose tasks run a stand-in for the measurement."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fakes.shard_studies import SECONDS, shuffled
from slurm.loopback import Loopback
from slurm.plans import program
from slurm.stand_in import FIRST_SECONDS

from llem_runner.clusters import (
    ShardState,
    cluster_states,
    resubmit_shards,
    submit_study,
)
from llem_runner.shards import open_shards, plan_division
from llem_slurm import Slurm

_TESTS = Path(__file__).parents[1]


class SlurmStudy:
    """A study of `n_points` x `n_cycles` runs, each of which takes some seconds."""

    def __init__(
        self,
        slurm: Loopback,
        work: Path,
        *,
        n_points: int = 5,
        n_cycles: int = 2,
        shards: int = 1,
        seconds: float = 0.3,
        first_seconds: float | None = None,
        **options: object,
    ) -> None:
        """Submit it.

        Args:
            slurm: that runs it.
            work: new folder for its files.
            n_points: number of points.
            n_cycles: number of cycles.
            shards: number of shards of each cycle.
            seconds: that a run takes.
            first_seconds: that a run takes until Slurm has restarted its task; None: `seconds`.
            options: settings of the cluster.
        """
        work.mkdir(parents=True, exist_ok=True)
        first = seconds if first_seconds is None else first_seconds
        python = stand_in_python(work / "python", seconds, first)
        self.slurm = slurm
        self.cluster = Slurm({"python": python, "exclusive": False, "gpus": 0, **options})
        division = plan_division(shuffled(n_points, n_cycles), shards=shards)
        done = submit_study(division, cluster=self.cluster, name="slurm", output=work / "results")
        self.folder = Path(done.folder)
        self.jobs = {number: done.tickets[0].job for number in done.submitted}
        self.n_shards, self.n_runs = done.n_shards, n_points * n_cycles
        self.seen: dict[Path, str] = {}

    # --- what runs

    def task(self, number: int) -> str:
        """Return Slurm's name for the newest task of a shard."""
        return f"{self.jobs[number]}_{number}"

    def state(self, number: int) -> ShardState:
        """Return what Slurm says of a shard."""
        return cluster_states(self.folder, self.cluster)[number]

    def pids(self, number: int) -> list[int]:
        """Return the processes that work on a shard, without their children."""
        wanted = f"{self.folder}\0{number}\0".encode()
        return [pid for pid, line in _command_lines() if line.endswith(wanted)]

    def all_pids(self) -> list[int]:
        """Return the processes that work on any shard, and their children."""
        tasks = [pid for number in range(1, self.n_shards + 1) for pid in self.pids(number)]
        return [*tasks, *(child for pid in tasks for child in children(pid))]

    # --- what is done

    def results(self) -> dict[Path, str]:
        """Return the digest of each result on disk."""
        files = self.folder.glob("shards/*/a*/*/result.json")
        return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def note_results(self) -> None:
        """Remember which results there are; none may ever change or go."""
        now = self.results()
        for file, digest in self.seen.items():
            assert now.get(file) == digest, f"{file} is {'changed' if file in now else 'lost'}"
        self.seen = now

    def open_shards(self) -> tuple[int, ...]:
        """Return the shards that have runs to do."""
        return open_shards(self.folder)

    def n_attempts(self, number: int) -> int:
        """Return how many attempts at a shard there are."""
        return len(list((self.folder / "shards" / f"{number:04d}").glob("a*")))

    # --- to the end

    def top_up(self) -> tuple[int, ...]:
        """Submit what is left and neither waits nor runs, as `study resume --on slurm` does."""
        numbers = self.open_shards()
        if not numbers:
            return ()
        done = resubmit_shards(self.folder, numbers, cluster=self.cluster)
        for ticket in done.tickets:
            self.jobs |= dict.fromkeys(ticket.shards, ticket.job)
        return done.submitted

    def wait_until(self, is_reached: Callable[[], bool], limit_s: float = 180) -> None:
        """Return when something is so; meanwhile no task waits the two minutes after a requeue.

        Raises:
            AssertionError: it is not, in time.
        """
        end = time.monotonic() + limit_s
        while not is_reached():
            assert time.monotonic() < end, self.describe()
            self.slurm.hurry()
            time.sleep(0.1)

    def settle(self, limit_s: float = 240) -> None:
        """Return when no task waits or runs.

        Raises:
            AssertionError: one does, after the limit.
        """
        self.wait_until(lambda: not self.slurm.ask("squeue", "-h", check=False), limit_s)
        self.note_results()

    def describe(self) -> str:
        """Return the state of the study in words, for a failure."""
        logs = sorted((self.folder / "cluster" / "slurm").glob("*.out"))
        texts = [f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in logs]
        queue = self.slurm.ask("squeue", "-r", "-t", "all", check=False)
        return "\n".join([f"open: {self.open_shards()}", queue, *texts])


def stand_in_python(path: Path, seconds: float, first_seconds: float) -> str:
    """Write a program in place of Python, in which a run takes some seconds, and return its path."""
    return program(
        path,
        f"export PYTHONPATH={_TESTS} {SECONDS}={seconds} {FIRST_SECONDS}={first_seconds}\n"
        f'exec {sys.executable} {_TESTS}/slurm/stand_in.py "$@"',
    )


def children(pid: int) -> list[int]:
    """Return all processes below a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                found += [child, *children(child)]
    return found


def parent(pid: int) -> int:
    """Return the parent of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("PPid:")[1].split()[0])


def kill(pid: int) -> None:
    """Send SIGKILL to a process, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _command_lines() -> Iterator[tuple[int, bytes]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(folder.name), (folder / "cmdline").read_bytes()
