"""`llem-cli study resume --on CLUSTER`: submit the shards of a study that are not complete."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from llem_cli._app import OK
from llem_cli._display.console import count, note, say
from llem_cli._display.submission import show_preview, show_submitted
from llem_runner import read_manifest
from llem_runner.clusters import Cluster, cluster_states, resubmit_shards
from llem_runner.shards import Addition, open_shards, read_plan


def resubmit(
    folder: Path,
    cluster: Cluster,
    name: str,
    *,
    added: Addition | None,
    retry: int,
    even_if_running: bool,
    retry_failed: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Submit what is left of a divided study, and return the exit code.

    Args:
        folder: of the study.
        cluster: that starts the shards.
        name: of the cluster.
        added: shards that the study has just got, or would get; None: none.
        retry: how often a run is repeated whose process has died.
        even_if_running: whether to submit shards also if the cluster does not tell their state.
        retry_failed: whether failed runs are repeated.
        dry_run: whether only to show what would be submitted.
        as_json: whether to print JSON.

    Raises:
        StudyError: the folder is damaged, or the cluster refuses the shards.
    """
    plan = read_plan(folder) if added is None else added.plan
    numbers = [
        *open_shards(folder, retry_failed=retry_failed),
        *(added.numbers if added is not None and dry_run else ()),
    ]
    arguments: tuple[str, ...] = ("--retry-failed",) if retry_failed else ()
    arguments += ("--retry", str(retry)) if retry else ()
    if not numbers and not as_json:
        say(f"{folder}: nothing to submit, because no run is left{_failed(folder)}")
        return OK
    if dry_run:
        states = cluster_states(folder, cluster)
        there = [n for n in numbers if n in states and states[n].phase in ("waiting", "running")]
        numbers = [number for number in numbers if number not in there]
        if there:
            note(f"note: {count(len(there), 'shard')} waiting or running already")
        if not numbers and not as_json:
            say(f"{folder}: nothing to submit")
            return OK
        show_preview(
            cluster.render(structs.replace(plan, arguments=arguments), numbers), as_json=as_json
        )
        return OK
    done = resubmit_shards(
        folder,
        numbers,
        cluster=cluster,
        even_if_running=even_if_running,
        arguments=arguments,
    )
    show_submitted(done, name, as_json=as_json)
    return OK


def _failed(folder: Path) -> str:
    """Return how many runs have failed, and how they run again; empty if none has."""
    n_failed = read_manifest(folder).totals.failed
    return f" ({n_failed} failed; --retry-failed repeats them)" if n_failed else ""
