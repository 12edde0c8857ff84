"""Cancel the shards of a study that clusters have accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from llem_runner._errors import StudyError
from llem_runner._shards.cluster import Cluster
from llem_runner._shards.cluster_registry import find_cluster
from llem_runner._shards.records import ShardState
from llem_runner._shards.submission import cluster_states
from llem_runner._storage.tickets import of_cluster, read_tickets

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
    if not tickets:
        raise StudyError(f"{folder}: no cluster has a shard of this study, so nothing is cancelled")
    for name in dict.fromkeys(ticket.cluster for ticket in tickets):
        (cluster or find_cluster(name)).cancel(of_cluster(tickets, name))
    waited_s = 0.0
    while True:
        states = cluster_states(folder, cluster)
        lives = any(state.phase in ("waiting", "running") for state in states.values())
        if not lives or waited_s >= wait_s:
            return states
        sleep(_POLL_S)
        waited_s += _POLL_S
