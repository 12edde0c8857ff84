"""`llem-cli study shard`: one attempt at one shard of a divided study."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from llem_cli._commands.options import (
    WHOLE,
    Json,
    Quiet,
    Retry,
    TimeLimit,
    Verbose,
    parse_duration_s,
)
from llem_cli._commands.study.run import MeasureFunction
from llem_cli._display.console import closed_terminal_ignored, count, note, say, show_json
from llem_cli._display.progress import Progress
from llem_cli._signals import controlled_by_terminal
from llem_energy import measure as default_measure
from llem_runner.clusters import find_place
from llem_runner.records import encode_json
from llem_runner.shards import ShardOutcome, run_shard


def shard(
    folder: Annotated[Path, Parameter(help="Folder of the study, made by `study submit`.")],
    number: Annotated[
        int, WHOLE, Parameter(validator=Number(gte=1), help="Number of the shard, from 1.")
    ],
    /,
    *,
    retry: Retry = 0,
    retry_failed: Annotated[
        bool, Parameter(negative=(), help="Also repeat runs that failed in an earlier attempt.")
    ] = False,
    time_limit: TimeLimit = None,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    measure: MeasureFunction = None,
) -> int:
    """Run what is left of a shard and return the exit code."""
    time_limit_s = parse_duration_s(time_limit)
    found = find_place(os.environ)
    with (
        controlled_by_terminal() as control,
        Progress(quiet=quiet, verbose=verbose) as progress,
    ):
        outcome = run_shard(
            folder,
            number,
            cluster=None if found is None else found[0],
            control=control,
            on_event=progress,
            measure=measure or default_measure,
            retry=retry,
            retry_failed=retry_failed,
            time_limit_s=time_limit_s,
        )
    with closed_terminal_ignored():
        if json_:
            show_json(encode_json(outcome))
        else:
            say(_sentence(outcome))
        if outcome.exit_code and outcome.reason:
            note(f"{outcome.end}: {outcome.reason}")
    return outcome.exit_code


def _sentence(outcome: ShardOutcome) -> str:
    """Return how far the shard is."""
    attempt = f"attempt {outcome.attempt}"
    if outcome.attempt is None:
        attempt = "no attempt" if outcome.end == "stopped" else "nothing to do"
    failed = f", {outcome.n_failed} failed" if outcome.n_failed else ""
    again = "; it will be started again" if outcome.is_restarted else ""
    return (
        f"shard {outcome.shard}: {outcome.end}, {attempt}; {outcome.n_completed} of "
        f"{count(outcome.n_runs, 'run')} completed{failed}{again}"
    )
