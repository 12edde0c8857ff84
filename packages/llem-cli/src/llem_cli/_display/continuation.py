"""How a study that is not running can be continued: on its cluster, if it has one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from llem_cli._display.console import count, resume_command
from llem_runner import StudyError
from llem_runner.clusters import ShardState, read_tickets


def cluster_of(folder: Path) -> str | None:
    """Return the cluster that was given shards of a study last; None if none was, as far as its files tell."""
    with contextlib.suppress(StudyError):  # a command that needs the files says why
        for ticket in reversed(read_tickets(folder)):
            return ticket.cluster
    return None


def how_to_continue(folder: Path, states: Mapping[int, ShardState], on: str | None) -> str:
    """Return what starts the runs that are left, as the end of a sentence.

    Args:
        folder: of the study, as the user has named it.
        states: what its cluster says of shards, by their number; empty if it was not asked.
        on: its cluster; None: it has none.
    """
    n = sum(state.phase in ("waiting", "running") for state in states.values())
    if n and on is not None:
        wait = "waits, and starts" if n == 1 else "wait, and start"
        return f"{count(n, 'shard')} {wait} when {on} has a place"
    return f"continue with {resume_command(folder, on=on)}"
