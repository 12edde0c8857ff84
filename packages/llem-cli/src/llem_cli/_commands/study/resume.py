"""`llem-cli study resume`: continue a study that stopped early, or add cycles to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from llem_cli._commands.options import (
    Json,
    Quiet,
    Retry,
    TimeLimit,
    Verbose,
    Wait,
    parse_duration_s,
)
from llem_cli._commands.study.folder import StudyFolder, check_folders, usage_error
from llem_cli._commands.study.on_gpus import Gpus, parse_gpus, resume_measured_on_gpus
from llem_cli._commands.study.resubmission import resubmit
from llem_cli._commands.study.run import MeasureFunction, finish
from llem_cli._commands.study.submit import AtMost, DryRun, Sbatch, TimePerShard, cluster_named
from llem_cli._display.progress import Progress
from llem_cli._signals import controlled_by_terminal
from llem_energy import measure as default_measure
from llem_runner import resume_study
from llem_runner.shards import is_divided, resume_shards


def resume(
    folder: StudyFolder,
    /,
    *,
    study: Annotated[
        Path | None,
        Parameter(
            help="Check that the folder was made from this study file; if not, list the "
            "differences and stop."
        ),
    ] = None,
    cycles: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1, lte=100_000),
            help="New number of cycles; added cycles run after the existing ones.",
        ),
    ] = None,
    retry: Retry = 0,
    time_limit: TimeLimit = None,
    wait: Wait = False,
    gpus: Gpus = None,
    on: Annotated[
        str | None,
        Parameter(
            help="Of a divided study: submit the shards that are not complete to this cluster, e.g. "
            "slurm, instead of running them here."
        ),
    ] = None,
    time_per_shard: TimePerShard = None,
    at_most: AtMost = None,
    sbatch: Sbatch = (),
    even_if_running: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Of a divided study: run or submit shards also if it cannot be told whether they run.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool, Parameter(negative=(), help="Of a divided study: also repeat runs that have failed.")
    ] = False,
    dry_run: DryRun = False,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    measure: MeasureFunction = None,
) -> int:
    """Run everything in a study's folder that is not completed, and return the exit code."""
    check_folders([folder])
    if on is not None:
        cluster = cluster_named(on, time_per_shard=time_per_shard, at_most=at_most, sbatch=sbatch)
        if cluster is None:
            raise usage_error("--on", "expected a cluster, found none; leave out --on to run here")
        return resubmit(
            folder,
            cluster,
            on,
            even_if_running=even_if_running,
            retry_failed=retry_failed,
            dry_run=dry_run,
            as_json=json_,
        )
    if dry_run:
        raise usage_error("--dry-run", "expected --on with this flag, e.g. --on slurm")
    time_limit_s = parse_duration_s(time_limit)
    divided = is_divided(folder)
    if divided and (study is not None or cycles is not None):
        raise usage_error(
            "--cycles" if study is None else "--study",
            "expected a study that is not divided; the shards of this one are fixed, so submit the study file "
            "again for more cycles or other points",
        )
    if gpus is not None:
        if not divided:
            raise usage_error("--gpus", "expected a study that began with --gpus or was submitted")
        result = resume_measured_on_gpus(
            folder,
            parse_gpus(gpus, wait=wait),
            even_if_running=even_if_running,
            retry_failed=retry_failed,
            measure=measure or default_measure,
            retry=retry,
            time_limit_s=time_limit_s,
            quiet=quiet,
        )
        return finish(result, folder, as_json=json_, gpus=gpus)
    with (
        controlled_by_terminal() as control,
        Progress(quiet=quiet, verbose=verbose) as progress,
    ):
        if divided:
            resumed = resume_shards(
                folder,
                even_if_running=even_if_running,
                retry_failed=retry_failed,
                control=control,
                on_event=progress,
                measure=measure or default_measure,
                retry=retry,
                time_limit_s=time_limit_s,
                wait=wait,
            )
            return finish(resumed.result, folder, as_json=json_)
        result = resume_study(
            folder,
            config=study,
            cycles=cycles,
            control=control,
            on_event=progress,
            measure=measure or default_measure,
            retry=retry,
            time_limit_s=time_limit_s,
            wait=wait,
        )
    return finish(result, folder, as_json=json_)
