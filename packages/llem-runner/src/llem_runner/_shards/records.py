"""What a divided study and a cluster tell each other."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from llem_runner._plan.shards import Shard


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What one shard needs of the machine that runs it."""

    n_gpus: int
    """1 if a point needs a GPU, else 0."""
    whole_machine: bool
    """Whether another program on the machine would spoil the energies: a meter of the processor
    counts all programs."""
    spreads_over_gpus: bool = False
    """Whether a point spreads a model over all GPUs that it gets, so that only a person can say how many.
    Known when a study is divided, not of one on disk."""


class ShardPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A divided study, as a cluster sees it."""

    folder: Path
    """Of the study; absolute. Its name is unique."""
    shards: tuple[Shard, ...]
    """All of the study, numbered from 1."""
    seconds_per_shard: float | None
    """Estimated duration of the longest shard in seconds; None: not known."""
    needs: Needs
    """What each shard needs of its machine."""
    arguments: tuple[str, ...] = ()
    """Of `study shard` in each task, beside the folder and the number, such as `--retry-failed`."""

    @property
    def name(self) -> str:
        """Return the name of the study's folder, by which its jobs are found."""
        return self.folder.name


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster would be asked; `study submit --dry-run` shows it."""

    files: dict[str, str]
    """Content by path, relative to the study's folder."""
    commands: tuple[tuple[str, ...], ...]
    """The commands, in order; each is a list of arguments."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""


ShardPhase = Literal["waiting", "running", "ended", "unknown"]


class ShardState(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster says of one shard."""

    phase: ShardPhase
    """`unknown`: the cluster does not tell. It is never `ended` only because nothing was heard."""
    machine: str | None = None
    """Name of the machine that runs it, or ran it last."""
    reason: str | None = None
    """Why it waits, or how it ended, in words."""
    n_restarts: int | None = None
    """How often the cluster has started it again."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where this process runs, if a cluster has started it."""

    cluster: str
    """Name of the cluster."""
    job: str
    """The cluster's name for this task, e.g. `7012345_7`."""
    n_restarts: int = 0
    """How often the cluster has started it again."""
    machine: str | None = None
    """The cluster's name for this machine."""
    ends_at: float | None = None
    """When the cluster will end it, in seconds since 1970 by the clock of this machine; None: not known, or
    never."""
    gpus: tuple[str, ...] | None = None
    """UUIDs of the GPUs that it may use; None: the cluster does not tell."""
    whole_machine: bool = False
    """Whether no other job can be on this machine."""
