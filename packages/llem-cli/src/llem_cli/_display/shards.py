"""How far the shards of a divided study are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from llem_cli._display.console import add_row, count, plain_table, print_table, say
from llem_runner.clusters import ShardState
from llem_runner.shards import ShardProgress

_MAX_ROWS = 50


def show_shards(
    shards: Sequence[ShardProgress],
    n_superseded: int,
    states: Mapping[int, ShardState],
    folder: Path,
) -> None:
    """Print a row for each shard that is not complete, and how many there are of each kind.

    Args:
        shards: of the study.
        n_superseded: number of results that do not count.
        states: what clusters say of shards, by their number; empty if none was given a shard.
        folder: of the study.
    """
    open_shards = [shard for shard in shards if shard.status != "complete"]
    if open_shards:
        table = plain_table()
        for name in ("shard", "cycle", "runs", "attempts"):
            table.add_column(name, justify="right")
        table.add_column("machine", overflow="fold")
        table.add_column("status", overflow="fold", min_width=12)
        if states:
            table.add_column("cluster", overflow="fold", min_width=12)
        for shard in open_shards[:_MAX_ROWS]:
            failed = f", {shard.n_failed} failed" if shard.n_failed else ""
            reason = f": {shard.reason}" if shard.reason else ""
            runs = f"{shard.n_completed} of {shard.n_runs}{failed}"
            cells = [str(shard.shard), str(shard.cycle), runs, str(shard.n_attempts)]
            said = [_said(states.get(shard.shard))] if states else []
            add_row(table, [*cells, shard.machine or "", f"{shard.status}{reason}", *said])
        print_table(table)
    if len(open_shards) > _MAX_ROWS:
        say(f"and {count(len(open_shards) - _MAX_ROWS, 'more shard')}")
    counts = Counter(shard.status for shard in shards)
    kinds = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    say(f"{count(len(shards), 'shard')}: {kinds}")
    n_silent = sum(map(_ended_silently, shards, map(states.get, (each.shard for each in shards))))
    if n_silent:
        say(
            f"{count(n_silent, 'job')} ended before the shard began; see what the jobs printed in "
            f"{folder / 'cluster'}: if nothing is there, the machines of the cluster do not see "
            f"{folder.absolute()}"
        )
    if n_superseded:
        say(
            f"{count(n_superseded, 'result')} not counted, because an earlier attempt has a result of the "
            "same run"
        )


def _ended_silently(shard: ShardProgress, state: ShardState | None) -> bool:
    """Return whether a cluster has started a shard, and nothing of it arrived in the study's folder."""
    if state is None or state.phase != "ended" or shard.n_attempts:
        return False
    return "cancelled" not in (state.reason or "")


def _said(state: ShardState | None) -> str:
    """Return what a cluster says of a shard."""
    if state is None:
        return "not submitted"
    where = f" on {state.machine}" if state.machine and state.phase == "running" else ""
    restarts = f", started again: {state.n_restarts} x" if state.n_restarts else ""
    reason = f": {state.reason}" if state.reason else ""
    return f"{state.phase}{where}{restarts}{reason}"
