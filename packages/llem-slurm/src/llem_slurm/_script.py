"""The batch script of an array of jobs: pure functions of the plan and the settings."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llem_runner.clusters import ShardPlan
from llem_slurm._settings import SlurmSettings, seconds

FOLDER = "cluster/slurm"
"""Below the folder of the study."""


@dataclass(frozen=True, slots=True)
class Array:
    """Shards that are submitted as one array of jobs."""

    shards: tuple[int, ...]
    offset: int
    """Number of a shard less the index of its job; above 0 where an index would be too large."""

    @property
    def script(self) -> str:
        """Return the path of its batch script, relative to the folder of the study."""
        return f"{FOLDER}/batch-{self.offset}.sh" if self.offset else f"{FOLDER}/batch.sh"


def arrays(shards: Sequence[int], max_index: int) -> tuple[Array, ...]:
    """Return the arrays of some shards, none with an index above `max_index`."""
    by_offset: dict[int, list[int]] = {}
    for number in sorted(set(shards)):
        by_offset.setdefault((number - 1) // max_index * max_index, []).append(number)
    return tuple(Array(tuple(numbers), offset) for offset, numbers in by_offset.items())


def job_name(plan: ShardPlan, array: Array) -> str:
    """Return the name of an array's jobs, by which a job is found whose number was lost."""
    offset = f"+{array.offset}" if array.offset else ""
    return f"llem-{plan.name}{offset}"


def batch_script(plan: ShardPlan, array: Array, settings: SlurmSettings) -> str:
    """Return the batch script of an array."""
    number = (
        f"$((SLURM_ARRAY_TASK_ID + {array.offset}))" if array.offset else "$SLURM_ARRAY_TASK_ID"
    )
    python = settings.python or sys.executable
    # Without `exec`, the signal before the time limit would end the shell and not reach Python.
    start = (
        f'{shlex.quote(python)} -m llem_cli study shard {shlex.quote(str(plan.folder))} "{number}"'
    )
    start = " ".join((start, *map(shlex.quote, plan.arguments)))
    container = f"{settings.container} " if settings.container else ""
    return "\n".join(
        (
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in _options(plan, array, settings)),
            "export HF_HUB_OFFLINE=1 PYTHONNOUSERSITE=1",
            # A signal that is early would end Python before it has a handler.
            "trap '' USR2",
            *settings.prologue,
            f"exec {container}{start}",
            "",
        )
    )


def _options(plan: ShardPlan, array: Array, settings: SlurmSettings) -> Iterator[str]:
    """Yield the options of sbatch."""
    at_most = f"%{settings.at_most}" if settings.at_most else ""
    yield f"--job-name={shlex.quote(job_name(plan, array))}"
    yield f"--array={_ranges([n - array.offset for n in array.shards])}{at_most}"
    yield "--nodes=1"
    yield "--ntasks=1"
    n_gpus = plan.needs.n_gpus if settings.gpus is None else settings.gpus
    if n_gpus:
        kind = f"{settings.gpu_type}:" if settings.gpu_type else ""
        yield f"--gres=gpu:{kind}{n_gpus}"
    for option in ("partition", "account", "qos", "constraint", "cpus_per_task", "mem"):
        if (value := getattr(settings, option)) is not None:
            yield f"--{option.replace('_', '-')}={value}"
    yield f"--time={_time(seconds(settings.time))}"
    if is_exclusive(plan, settings):
        yield "--exclusive"
    if settings.excluded_nodes:
        yield f"--exclude={','.join(settings.excluded_nodes)}"
    yield "--requeue"
    yield "--open-mode=append"
    # A per cent sign of the folder's own is written twice.
    logs = str(plan.folder / FOLDER).replace("%", "%%")
    yield f"--output={shlex.quote(f'{logs}/%A_%a.out')}"
    # Not SIGTERM, which a task also gets when it is cancelled or preempted.
    yield f"--signal=B:USR2@{settings.warn_seconds}"
    yield from settings.extra


def is_exclusive(plan: ShardPlan, settings: SlurmSettings) -> bool:
    """Return whether each job has a node to itself."""
    if settings.exclusive is None:
        return plan.needs.whole_machine
    return settings.exclusive


def _ranges(numbers: Sequence[int]) -> str:
    """Return sorted numbers as Slurm writes them: `3,7-9`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def _time(limit_s: int) -> str:
    hours, rest = divmod(limit_s, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
