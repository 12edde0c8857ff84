"""A cluster for the tests that starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llem_runner.clusters import Place, ShardPlan, ShardState, Submission, Ticket


class Willing:
    """A cluster that accepts all shards, and remembers what it was asked."""

    time_limit_s = None

    def __init__(self) -> None:
        self.asked: list[str] = []

    def obstacles(self, plan: ShardPlan) -> Sequence[str]:
        del plan
        return ()

    def render(self, plan: ShardPlan, shards: Sequence[int]) -> Submission:
        raise NotImplementedError

    def submit(self, plan: ShardPlan, shards: Sequence[int]) -> Sequence[Ticket]:
        del plan
        self.asked.append("submit")
        return [ticket(*shards)]

    def found(self, plan: ShardPlan) -> Sequence[Ticket]:
        del plan
        return ()

    def states(self, tickets: Sequence[Ticket]) -> Mapping[int, ShardState]:
        self.asked.append("states")
        return {n: ShardState(phase="ended") for each in tickets for n in each.shards}

    def cancel(self, tickets: Sequence[Ticket]) -> None:
        del tickets
        self.asked.append("cancel")

    def here(self, environment: Mapping[str, str]) -> Place | None:
        del environment
        return None

    def again(self, place: Place, *, elsewhere: bool = False) -> bool:
        del place, elsewhere
        return False


def ticket(*shards: int) -> Ticket:
    return Ticket(cluster="willing", job="7", shards=shards, submitted_at="2026-02-02T02:40:00Z")
