"""`cluster/NAME/tickets.json`: what clusters have accepted of a divided study."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from llem_runner._storage.atomic_files import encode_json, read_json
from llem_runner._storage.cluster_folder import (
    FOLDER,
    check_cluster_folder,
    cluster_files,
    write_cluster_file,
)
from llem_runner._storage.stale_handles import may_exist

_FILE = "tickets.json"


class Ticket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a cluster has accepted."""

    cluster: str
    """Name of the cluster."""
    job: str
    """The cluster's name for it, e.g. the number of an array of jobs."""
    shards: tuple[int, ...]
    """Numbers of the shards."""
    submitted_at: str
    """In UTC, ISO 8601."""


class TicketFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of `tickets.json`, which submissions write, one at a time."""

    schema_version: Literal[1] = 1
    tickets: tuple[Ticket, ...]
    """In the order of the submissions."""


def read_tickets(folder: Path) -> tuple[Ticket, ...]:
    """Return what all clusters have accepted of a study; () if it was never submitted.

    Raises:
        StudyError: a file is damaged, or a folder is a link. Without its tickets, a study would look like
            one that was never submitted, and would be submitted again.
    """
    files = cluster_files(folder, _FILE, strict=True)
    return tuple(ticket for file in files for ticket in read_json(file, TicketFile).tickets)


def add_tickets(folder: Path, new: Iterable[Ticket]) -> None:
    """Save what clusters have accepted, beside earlier tickets; a known job is not added again.

    Raises:
        StudyError: a file is damaged or cannot be written, or a folder is a link.
    """
    by_cluster: dict[str, list[Ticket]] = {}
    for ticket in new:
        by_cluster.setdefault(ticket.cluster, []).append(ticket)
    for name, tickets in by_cluster.items():
        check_cluster_folder(folder, name)
        path = folder / FOLDER / name / _FILE
        old = read_json(path, TicketFile).tickets if may_exist(path) else ()
        known = {ticket.job for ticket in old}
        added = [ticket for ticket in tickets if ticket.job not in known]
        if added:
            write_cluster_file(path, encode_json(TicketFile(tickets=(*old, *added))))


def of_cluster(tickets: Sequence[Ticket], name: str) -> tuple[Ticket, ...]:
    """Return the tickets of one cluster."""
    return tuple(ticket for ticket in tickets if ticket.cluster == name)
