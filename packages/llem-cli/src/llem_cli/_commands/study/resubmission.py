"""`llem-cli study resume --on CLUSTER`: submit the shards of a study that are not complete."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from llem_cli._app import OK
from llem_cli._display.console import say
from llem_cli._display.submission import show_preview, show_submitted
from llem_runner.clusters import Cluster, resubmit_shards
from llem_runner.shards import open_shards, read_plan, reopen_shards


def resubmit(
    folder: Path,
    cluster: Cluster,
    name: str,
    *,
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
        even_if_running: whether to submit shards also if the cluster does not tell their state.
        retry_failed: whether failed runs are repeated.
        dry_run: whether only to show what would be submitted.
        as_json: whether to print JSON.

    Raises:
        StudyError: the folder is damaged, or the cluster refuses the shards.
    """
    plan = read_plan(folder)
    numbers = open_shards(folder, retry_failed=retry_failed)
    arguments = ("--retry-failed",) if retry_failed else ()
    if not numbers and not as_json:
        say(f"{folder}: nothing to submit, because every shard is complete")
        return OK
    if dry_run:
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
    reopen_shards(folder, done.submitted)
    show_submitted(done, name, as_json=as_json)
    return OK
