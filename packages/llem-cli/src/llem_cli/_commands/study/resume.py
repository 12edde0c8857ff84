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
from llem_cli._commands.study.folder import StudyFolder, check_folders
from llem_cli._commands.study.run import MeasureFunction, finish
from llem_cli._display.progress import Progress
from llem_cli._signals import controlled_by_terminal
from llem_energy import measure as default_measure
from llem_runner import resume_study


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
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    measure: MeasureFunction = None,
) -> int:
    """Run everything in a study's folder that is not completed, and return the exit code."""
    check_folders([folder])
    time_limit_s = parse_duration_s(time_limit)
    with (
        controlled_by_terminal() as control,
        Progress(quiet=quiet, verbose=verbose) as progress,
    ):
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
