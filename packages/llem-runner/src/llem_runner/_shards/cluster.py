"""The cluster protocol: what starts the shards of a study, such as a batch system.

A cluster knows no points, results or statistics, and llem-runner knows no cluster. What is done, and
what is left to do, is read from the study's files alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from llem_runner._shards.records import Place, ShardPlan, ShardState, Submission
from llem_runner._storage.tickets import Ticket


class Cluster(Protocol):
    """A batch system, or anything else that starts `llem-cli study shard FOLDER NUMBER`."""

    @property
    def time_limit_s(self) -> float | None:
        """Return how long the cluster lets one shard run, in seconds; None if there is no limit."""

    def obstacles(self, plan: ShardPlan) -> Sequence[str]:
        """Return why nothing can be submitted from here, a sentence each; () if nothing is known.

        Asked before anything is written; the folder of the plan need not exist.
        """

    def render(self, plan: ShardPlan, shards: Sequence[int]) -> Submission:
        """Return what `submit` would write and ask; it writes nothing, and asks for limits at most."""

    def submit(self, plan: ShardPlan, shards: Sequence[int]) -> Sequence[Ticket]:
        """Submit shards by their numbers. What is accepted has a ticket; the rest has none.

        Raises:
            SubmissionRefused: nothing was accepted; the message says which setting to change.
            SubmissionUnknown: it cannot be told whether something was accepted.
        """

    def found(self, plan: ShardPlan) -> Sequence[Ticket]:
        """Return tickets of all jobs of the study that the cluster knows, by the study's name.

        After a submission whose answer was lost, they are the only way to its jobs.

        Raises:
            StudyError: the cluster does not answer.
        """

    def states(self, tickets: Sequence[Ticket]) -> Mapping[int, ShardState]:
        """Return the state of each shard by its number, by one question to the cluster."""

    def cancel(self, tickets: Sequence[Ticket]) -> None:
        """End and forget what was submitted; what has ended already is no error.

        Raises:
            StudyError: the cluster does not answer.
        """

    def here(self, environment: Mapping[str, str]) -> Place | None:
        """Return where this process runs; None if this cluster has not started it.

        Raises:
            StudyError: it has, but this process cannot tell which GPUs are its own.
        """

    def again(self, place: Place, *, elsewhere: bool = False) -> bool:
        """Ask the cluster to start this task again; return False if it will not.

        Args:
            place: where this process runs.
            elsewhere: whether on another machine, because this one cannot run the shard.
        """
