"""A study that has no result yet: the state of each run, and whether the study is running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llem_cli._display.console import (
    duration,
    message_lines,
    resume_command,
    say,
    stdout_console,
)
from llem_cli._display.continuation import how_to_continue
from llem_cli._display.point_names import print_rows
from llem_runner.clusters import ShardState
from llem_runner.progress import UnseenProcess
from llem_runner.records import StudyManifest


def show_study_progress(
    manifest: StudyManifest,
    folder: Path,
    *,
    running: bool | None,
    unseen: Sequence[UnseenProcess] = (),
    left_s: float | None = None,
    levels: Mapping[str, Mapping[str, str]] | None = None,
    states: Mapping[int, ShardState] | None = None,
    on: str | None = None,
) -> None:
    """Print how far a study is.

    Args:
        manifest: the state of the study and of its runs.
        folder: the study's folder.
        running: whether a process is running the study; None if that is unknown.
        unseen: processes that may be running it on other machines, newest sign of life first.
        left_s: an estimate of the seconds that the study still takes.
        levels: of each factor, by the hash of the point; None if they cannot be read.
        states: what its cluster says of shards, by their number.
        on: the cluster that it was given to; None: none.
    """
    # Of a divided study, thousands of runs are likely; its shards are shown instead.
    if not manifest.is_divided:
        _show_runs(manifest, levels or {})
    for entry in manifest.entries:
        if entry.error_type:
            error = f"{entry.error_type}: {entry.error_message}"
            for line in message_lines(f"run {entry.index} {entry.status}: {error}"):
                say(line)
    for change in manifest.input_changes:
        say(f"warning: {change}")
    totals = manifest.totals
    counts = {
        "completed": totals.completed,
        "failed": totals.failed,
        "running": totals.running,
        "interrupted": totals.interrupted,
        "pending": totals.pending,
    }
    say(
        f"{manifest.study_name}: {len(manifest.entries)} runs, "
        + ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    )
    if running is None and unseen:
        say(_unseen(unseen, folder, on))
    else:
        continuation = how_to_continue(folder, states or {}, on)
        say(_activity(manifest, continuation, running=running, left_s=left_s))
    say(f"results: {folder}")


def _show_runs(manifest: StudyManifest, levels: Mapping[str, Mapping[str, str]]) -> None:
    """Print a table of all runs."""
    rows = []
    for entry in manifest.entries:
        attempts = f" ({entry.attempts} attempts)" if entry.attempts > 1 else ""
        left = (str(entry.index), str(entry.cycle))
        rows.append((entry.config_hash, left, (f"{entry.status}{attempts}",)))
    print_rows(
        rows,
        (("run", "cycle"), ("status",)),
        levels,
        {entry.config_hash: entry.label for entry in manifest.entries},
        stdout_console(),
    )


def _unseen(unseen: Sequence[UnseenProcess], folder: Path, on: str | None) -> str:
    """Return that it cannot be told whether the study is running, and what the user can do."""
    n_more = len(unseen) - 1
    more = f" (and {n_more} more {'process' if n_more == 1 else 'processes'})" if n_more else ""
    command = resume_command(folder, on=on).rstrip("`")
    return (
        f"cannot tell whether the study is running: {unseen[0]}{more}; if it has ended, continue with "
        f"{command} --even-if-running`"
    )


def _activity(
    manifest: StudyManifest, continuation: str, *, running: bool | None, left_s: float | None
) -> str:
    """Return whether the study is running now, and what the user can do."""
    if running is None:
        return "cannot tell whether the study is running (no access to its lock file)"
    if not running:
        return f"not running; {continuation}"
    left = "" if left_s is None else f"; about {duration(left_s)} left"
    if manifest.totals.pending and not manifest.totals.running:
        return f"running, but no run in progress: in a gap, or waiting for a GPU{left}"
    return f"running{left}"
