"""`llem-cli study extend`: add points to a study that was measured."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from llem_cli._commands.options import WHOLE, Json, Quiet, Verbose
from llem_cli._commands.study.continuing import HERE, Continuing, continue_shards, continue_study
from llem_cli._commands.study.folder import StudyFolder, check_folders
from llem_cli._commands.study.run import MeasureFunction
from llem_runner import extend_study
from llem_runner.shards import add_points, is_divided


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
        WHOLE,
        Parameter(
            validator=Number(gte=1, lte=100_000),
            help="Number of old points that run again beside the new ones (default: 2).",
        ),
    ] = None,
    cycles: Annotated[
        int | None,
        WHOLE,
        Parameter(
            validator=Number(gte=1, lte=100_000),
            help="Number of cycles of the new points (default: from the file, or as the old points).",
        ),
    ] = None,
    how: Continuing = HERE,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    measure: MeasureFunction = None,
) -> int:
    """Measure new points of a study, and return the exit code."""
    check_folders([folder])
    cluster = how.cluster_of(folder)
    if not is_divided(folder):
        run = functools.partial(extend_study, config=study, anchors=anchors, cycles=cycles)
        return continue_study(
            run, folder, how, as_json=json_, quiet=quiet, verbose=verbose, measure=measure
        )
    added = add_points(
        folder,
        study,
        anchors=anchors,
        cycles=cycles,
        cluster=cluster,
        even_if_running=how.even_if_running,
        write=not how.dry_run,
    )
    return continue_shards(
        folder,
        how,
        cluster,
        added,
        as_json=json_,
        quiet=quiet,
        verbose=verbose,
        measure=measure,
    )
