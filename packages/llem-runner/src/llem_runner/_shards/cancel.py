"""Cancel the shards of a study that clusters have accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from llem_runner._errors import StudyError
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.cluster_registry import cluster_names, find_cluster
from llem_runner._shards.division import read_plan
from llem_runner._shards.records import ShardState
from llem_runner._shards.submission import cluster_states
from llem_runner._storage.cluster_folder import FOLDER
from llem_runner._storage.tickets import Ticket, add_tickets, of_cluster, read_tickets

_POLL_S = 2.0


def cancel_study(
    folder: str | Path,
    *,
    cluster: Cluster | None = None,
    wait_s: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Mapping[int, ShardState]:
    """Cancel all shards that wait or run, and return what the clusters say of them.

    Args:
        folder: of the divided study.
        cluster: that all its tickets are of; None: each is found by its name.
        wait_s: how long to wait until no shard runs, in seconds; some may run longer.
        sleep: waits for seconds.

    Raises:
        StudyError: nothing was submitted, or a cluster does not answer.
    """
    tickets = read_tickets(Path(folder))
    for name in dict.fromkeys(ticket.cluster for ticket in tickets):
        (cluster or find_cluster(name)).cancel(of_cluster(tickets, name))
    if not tickets + _cancel_lost(Path(folder), tickets, cluster):
        raise StudyError(f"{folder}: no cluster has a shard of this study, so nothing is cancelled")
    waited_s = 0.0
    while True:
        states = cluster_states(folder, cluster)
        lives = any(state.phase in ("waiting", "running") for state in states.values())
        if not lives or waited_s >= wait_s:
            return states
        sleep(_POLL_S)
        waited_s += _POLL_S


def _cancel_lost(
    folder: Path, tickets: Sequence[Ticket], given: Cluster | None
) -> tuple[Ticket, ...]:
    """Cancel jobs that a cluster has accepted without an answer that arrived, and return their tickets.

    Raises:
        StudyError: a cluster does not answer.
    """
    plan = read_plan(folder)
    known = {(ticket.cluster, ticket.job) for ticket in tickets}
    lost: list[Ticket] = []
    for cluster in [given] if given is not None else map(find_cluster, _clusters_of(folder)):
        found = [each for each in cluster.found(plan) if (each.cluster, each.job) not in known]
        add_tickets(folder, found)
        if found:
            cluster.cancel(found)
        lost += found
    return tuple(lost)


def _clusters_of(folder: Path) -> list[str]:
    """Return the clusters that a study was given to, also if no answer arrived: each has a folder."""
    return [name for name in cluster_names() if (folder / FOLDER / name).is_dir()]
