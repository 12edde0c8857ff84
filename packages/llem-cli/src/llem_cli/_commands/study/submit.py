"""`llem-cli study submit`: divide a study into shards, and give them to a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import (
    Cycles,
    Gaps,
    Json,
    Order,
    ParentFolder,
    Retry,
    Set,
    StudyFile,
    Tracebacks,
    command_line_layer,
    parse_duration_s,
)
from llem_cli._commands.study.cluster_flags import NONE, ClusterFlags, DryRun
from llem_cli._commands.study.folder import usage_error
from llem_cli._commands.study.plan import load_planned_study
from llem_cli._display.console import say, show_json
from llem_cli._display.submission import show_division, show_preview, show_submitted
from llem_config import load_settings
from llem_runner.clusters import preview, submit_study
from llem_runner.records import encode_json
from llem_runner.shards import Shard, divide_study, plan_division


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Dividing(ClusterFlags):
    """How a study is divided, and given to a cluster."""

    shards: Annotated[
        str,
        Parameter(
            help="Number of shards of each cycle, or auto: as few as the time limit permits, which "
            "needs --time-per-run (default: auto)."
        ),
    ] = "auto"
    time_per_run: Annotated[
        str | None, Parameter(help="Expected time of one run, e.g. 3m, for --shards auto.")
    ] = None
    pack: Annotated[
        bool,
        Parameter(
            negative=(),
            help="When a shard is complete, pack the files of its runs into one zip file for each attempt.",
        ),
    ] = False


AS_USUAL = Dividing()


def submit(
    path: StudyFile,
    /,
    *,
    on: Annotated[
        str, Parameter(help="Cluster that starts the shards: slurm, or none to start them by hand.")
    ] = NONE,
    dividing: Dividing = AS_USUAL,
    retry: Retry = 0,
    cycles: Cycles = None,
    order: Order = None,
    gaps: Gaps = True,
    output: ParentFolder = None,
    settings: Set = (),
    dry_run: DryRun = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Divide a study, give its shards to a cluster, and return the exit code."""
    del verbose  # read where errors are explained
    machine_settings = load_settings()
    cluster = dividing.cluster(on)
    limit_s = parse_duration_s(dividing.time_per_shard, "--time-per-shard")
    if cluster is not None:
        limit_s = cluster.time_limit_s
    layer = command_line_layer(settings, cycles=cycles, order=order, gaps=gaps)
    division = plan_division(
        load_planned_study(path, layer, machine_settings),
        shards=_number(dividing.shards),
        limit_s=limit_s,
        seconds_per_run=parse_duration_s(dividing.time_per_run, "--time-per-run"),
        settings=machine_settings,
        pack=dividing.pack,
    )
    if not json_:
        show_division(division)
    arguments = ("--retry", str(retry)) if retry else ()
    if cluster is None:
        if not dry_run:
            plan = divide_study(division, output=output)
            _show_shards(plan.shards, plan.folder, as_json=json_)
        elif json_:
            _show_shards(division.shards, None, as_json=True)
    elif dry_run:
        results_dir = output or machine_settings.output.results_dir
        made = preview(division, cluster, results_dir, arguments=arguments)
        show_preview(made, as_json=json_)
    else:
        submitted = submit_study(
            division, cluster=cluster, name=on, output=output, arguments=arguments
        )
        show_submitted(submitted, on, as_json=json_)
    return OK


def _show_shards(shards: Sequence[Shard], folder: Path | None, *, as_json: bool) -> None:
    """Show the shards of a study; without a folder nothing was written."""
    if as_json:
        name = None if folder is None else str(folder)
        show_json(encode_json({"folder": name, "shards": shards}))
        return
    say(f"{folder}: start each shard by `llem-cli study shard {folder} NUMBER`")


def _number(shards: str) -> int | None:
    """Return the number of shards of each cycle; None for auto.

    Raises:
        ConfigError: it is neither a number nor auto.
    """
    if shards == "auto":
        return None
    if not shards.isdecimal() or not 1 <= int(shards) <= 1_000_000:
        raise usage_error("--shards", f"expected auto or a number from 1 on, found {shards!r}")
    return int(shards)
