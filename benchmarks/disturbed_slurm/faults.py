"""Faults of a Slurm cluster, each by a name; every one leaves the cluster able to work."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Callable

from slurm.loopback import Loopback
from slurm.studies import SlurmStudy, children, kill, parent

Fault = Callable[[Loopback, SlurmStudy, int, random.Random], None]
_MOMENT_S = 3.0


def requeue(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """Put a task back into the queue."""
    del chance
    slurm.ask("scontrol", "requeue", study.task(shard), check=False)


def cancel(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """Cancel a task; only `study resume --on slurm` starts it again."""
    del chance
    slurm.ask("scancel", study.task(shard), check=False)


def preempt(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """Let a more important job take a node for a moment."""
    del study, shard
    slurm.ask("sbatch", "--partition=urgent", f"--nodelist=n{chance.randint(1, slurm.nodes)}",
              "--exclusive", "--output=/dev/null", "--wrap=sleep 2", check=False)  # fmt: skip


def warn(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """Send the signal that announces a time limit."""
    del chance
    slurm.ask("scancel", "--batch", "--signal=USR2", study.task(shard), check=False)


def kill_task(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """Send SIGKILL to the process of a shard."""
    del slurm, chance
    for pid in study.pids(shard):
        kill(pid)


def kill_run(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """Send SIGKILL to the process of a run."""
    del slurm
    pids = [child for pid in study.pids(shard) for child in children(pid)]
    if pids:
        kill(chance.choice(pids))


def kill_step(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """Send SIGKILL to the process of Slurm that watches a task."""
    del slurm, chance
    for pid in study.pids(shard):
        with contextlib.suppress(OSError):
            kill(parent(pid))


def kill_daemon(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """Send SIGKILL to the daemon of a node, and start it again after a moment."""
    del study, shard
    number = chance.randint(1, slurm.nodes)
    slurm.kill(f"slurmd-n{number}")
    time.sleep(_MOMENT_S)
    slurm.start_node(number)


def kill_controller(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """End the controller, and start it again after a moment."""
    del study, shard
    slurm.kill("slurmctld", chance.choice((signal.SIGKILL, signal.SIGTERM)))
    time.sleep(_MOMENT_S)
    slurm.start_controller()
    slurm.wait_until_answering()


def cut_off(slurm: Loopback, study: SlurmStudy, shard: int, chance: random.Random) -> None:
    """Lose a node whose processes live on; Slurm starts its shards on another one meanwhile."""
    del shard
    number = chance.randint(1, slurm.nodes)
    slurm.kill(f"slurmd-n{number}")
    with contextlib.suppress(subprocess.CalledProcessError):
        slurm.ask("scontrol", "update", f"nodename=n{number}", "state=down", "reason=cut off")
    end = time.monotonic() + 4 * _MOMENT_S
    while time.monotonic() < end:
        slurm.hurry()
        time.sleep(0.2)
    slurm.start_node(number)
    slurm.ask("scontrol", "update", f"nodename=n{number}", "state=resume", check=False)
    study.note_results()


FAULTS: dict[str, Fault] = {
    function.__name__: function
    for function in (
        requeue,
        cancel,
        preempt,
        warn,
        kill_task,
        kill_run,
        kill_step,
        kill_daemon,
        kill_controller,
        cut_off,
    )
}
