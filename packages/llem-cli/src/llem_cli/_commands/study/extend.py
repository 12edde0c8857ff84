"""`llem-cli study extend`: add points to a study that was measured."""

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
from llem_runner import extend_study


def extend(
    folder: StudyFolder,
    /,
    *,
    study: Annotated[
        Path,
        Parameter(
            help="Study file with the new points; the points that the folder has already may be in it too."
        ),
    ],
    anchors: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1, lte=100_000),
            help="Number of old points that run again beside the new ones (default: 2).",
        ),
    ] = None,
    cycles: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1, lte=100_000),
            help="Number of cycles of the new points (default: from the file, or as the old points).",
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
    """Measure new points of a study, and return the exit code."""
    check_folders([folder])
    time_limit_s = parse_duration_s(time_limit)
    with (
        controlled_by_terminal() as control,
        Progress(quiet=quiet, verbose=verbose) as progress,
    ):
        result = extend_study(
            folder,
            study,
            anchors=anchors,
            cycles=cycles,
            control=control,
            on_event=progress,
            measure=measure or default_measure,
            retry=retry,
            time_limit_s=time_limit_s,
            wait=wait,
        )
    return finish(result, folder, as_json=json_)
