"""Slurm as a cluster of llem-runner."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from llem_config.cluster_settings import cluster_settings
from llem_runner import StudyError
from llem_runner.clusters import (
    JobStart,
    NodeReading,
    Place,
    ShardPlan,
    ShardState,
    Submission,
    SubmissionRefused,
    Ticket,
)
from llem_slurm._commands import ask, is_installed
from llem_slurm._node_energy import node_energy
from llem_slurm._place import again, place
from llem_slurm._script import FOLDER, Array, arrays, batch_script, is_exclusive, job_name
from llem_slurm._settings import SlurmSettings, seconds
from llem_slurm._states import job_and_offset, named_jobs, states, ticket_job
from llem_slurm._submission import TooManyJobs, submit_array

NAME = "slurm"
_MAX_INDEX = 1000
"""Of an array, if Slurm does not tell: its own default."""


class Slurm:
    """A Slurm cluster, as its commands on this machine reach it.

    Args:
        options: settings that replace those of the machine, by name, e.g. `{"time": "8h"}`.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self._options = dict(options or {})
        self._place: Place | None = None

    @functools.cached_property
    def settings(self) -> SlurmSettings:
        """Return the settings of this site.

        Raises:
            ConfigError: one is wrong.
        """
        options = dict(self._options)
        if more := options.pop("extra", None):
            # Options of one submission are added to those of the site.
            options["extra"] = [*cluster_settings(NAME, SlurmSettings, options).extra, *more]
        return cluster_settings(NAME, SlurmSettings, options)

    @property
    def time_limit_s(self) -> float | None:
        """Return the time limit of each shard in seconds."""
        return float(seconds(self.settings.time))

    def obstacles(self, plan: ShardPlan) -> Sequence[str]:
        """Return why nothing can be submitted from here."""
        problems = []
        if not is_installed():
            n = len(plan.shards)
            problems.append(
                "no Slurm here: expected the command sbatch, found none; log in to a node that "
                "submits jobs, or divide the study with `--on none` and start its "
                f"{'shard' if n == 1 else f'{n} shards'} by `llem-cli study shard FOLDER NUMBER`"
            )
        limit_s, warn_s = seconds(self.settings.time), self.settings.warn_seconds
        if limit_s <= warn_s:
            problems.append(
                f"clusters.slurm.time = {self.settings.time}: expected more than clusters.slurm.warn_seconds "
                f"({warn_s} s), because the warning would come at the start of each job, and no run would "
                "begin; raise one or lower the other"
            )
        if plan.needs.spreads_over_gpus and self.settings.gpus is None:
            problems.append(
                "clusters.slurm.gpus is not set: expected the number of GPUs of each job, because points of "
                "the study spread a model over all GPUs that they get"
            )
        if not str(plan.folder).isprintable():
            problems.append(
                "the folder of the study has a line break or another control character in its "
                "path, which a batch script cannot name; choose another with --output"
            )
        return problems

    def render(self, plan: ShardPlan, shards: Sequence[int]) -> Submission:
        """Return the batch scripts and the commands; the only question to Slurm is that for its largest array."""
        made = arrays(shards, self._max_index)
        notes = []
        if not is_exclusive(plan, self.settings):
            notes.append(
                "other jobs may share the nodes; clusters.slurm.exclusive: true keeps them away"
            )
        if len(made) > 1:
            notes.append(f"Slurm takes indices up to {self._max_index}: {len(made)} arrays")
        return Submission(
            files={array.script: batch_script(plan, array, self.settings) for array in made},
            commands=tuple(_command(plan, array) for array in made),
            notes=tuple(notes),
        )

    def submit(self, plan: ShardPlan, shards: Sequence[int]) -> Sequence[Ticket]:
        """Submit shards as few arrays; what a limit on jobs keeps out has no ticket.

        Raises:
            SubmissionRefused: nothing was taken.
            SubmissionUnknown: Slurm does not tell what it has taken.
        """
        tickets: list[Ticket] = []
        (plan.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for array in arrays(shards, self._max_index):
            try:
                tickets.append(self._submit(plan, array))
            except SubmissionRefused:
                if not tickets:
                    raise
                break  # the rest waits for the next `study resume`
            if len(tickets[-1].shards) < len(array.shards):
                break
        return tickets

    def _submit(self, plan: ShardPlan, array: Array) -> Ticket:
        """Submit an array, or the largest first part of it that Slurm takes."""
        while True:
            script = plan.folder / array.script
            # A new file, because a link of another user in its place would be followed.
            script.unlink(missing_ok=True)
            with script.open("x", encoding="utf-8") as file:
                file.write(batch_script(plan, array, self.settings))
            try:
                job = submit_array(script, job_name(plan, array), self.settings)
            except TooManyJobs:
                # The array is refused as a whole.
                if len(array.shards) == 1:
                    raise
                array = Array(array.shards[: len(array.shards) // 2], array.offset)
                continue
            return Ticket(
                cluster=NAME,
                job=ticket_job(job, array.offset),
                shards=array.shards,
                submitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )

    def found(self, plan: ShardPlan) -> Sequence[Ticket]:
        """Return tickets of all jobs of the study that Slurm still lists.

        Raises:
            StudyError: Slurm does not answer.
        """
        every = arrays([shard.number for shard in plan.shards], self._max_index)
        offsets = {job_name(plan, array): array.offset for array in every}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return [
            Ticket(cluster=NAME, job=ticket_job(job, offset), shards=shards, submitted_at=now)
            for job, offset, shards in named_jobs(offsets)
        ]

    def states(self, tickets: Sequence[Ticket]) -> Mapping[int, ShardState]:
        """Return the state of each shard: one `squeue` for each array, and `sacct` for what is gone."""
        return states(tickets)

    def node_energy(self, starts: Sequence[JobStart]) -> Sequence[NodeReading]:
        """Return the energy of the node of each start, if a plugin of the site counts it."""
        return node_energy(starts)

    def cancel(self, tickets: Sequence[Ticket]) -> None:
        """Cancel arrays; those that have ended are no error.

        Raises:
            StudyError: Slurm does not answer.
        """
        if not tickets:
            return
        jobs = [job_and_offset(ticket)[0] for ticket in tickets]
        answer = ask("scancel", *jobs, timeout_s=60)
        problems = [
            line
            for line in answer.problem.splitlines()
            if not re.search("Invalid job id|already completed|completing or completed", line)
        ]
        if answer.code is None or problems:
            raise StudyError(
                f"Slurm has not cancelled the jobs {', '.join(jobs)}: {' '.join(problems) or answer.problem}; "
                f"try again, or run `{shlex.join(['scancel', *jobs])}`"
            )

    def here(self, environment: Mapping[str, str]) -> Place | None:
        """Return where this process runs, if Slurm has started it.

        Raises:
            StudyError: it cannot be told which GPUs Slurm has given to it.
        """
        self._place = self._place or place(environment)  # one question for each process
        return self._place

    def again(self, place: Place, *, elsewhere: bool = False) -> bool:
        """Ask Slurm to start this task again, maybe on another node; return False if it will not."""
        return again(place, elsewhere=elsewhere)

    @functools.cached_property
    def _max_index(self) -> int:
        """Return the largest index of an array."""
        if self.settings.max_array is not None:
            return self.settings.max_array
        try:
            answer = ask("scontrol", "show", "config", timeout_s=30)
        except StudyError:
            return _MAX_INDEX
        match = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.text, re.MULTILINE)
        # Slurm's own number is the first index that is too large.
        return max(1, int(match[1]) - 1) if match else _MAX_INDEX


def _command(plan: ShardPlan, array: Array) -> tuple[str, ...]:
    return ("sbatch", "--parsable", str(plan.folder / array.script))
