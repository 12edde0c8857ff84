"""`llem-cli study resume`: continue a study that stopped early, or add cycles to it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from llem_cli._commands.options import WHOLE, Json, Quiet, Verbose
from llem_cli._commands.study.continuing import HERE, Continuing, continue_study
from llem_cli._commands.study.folder import StudyFolder, check_folders
from llem_cli._commands.study.run import MeasureFunction
from llem_runner import resume_study
from llem_runner.shards import add_cycles


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
        WHOLE,
        Parameter(
            validator=Number(gte=1, lte=100_000),
            help="New number of cycles; added cycles run after the existing ones.",
        ),
    ] = None,
    how: Continuing = HERE,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    measure: MeasureFunction = None,
) -> int:
    """Run everything in a study's folder that is not completed, and return the exit code."""
    check_folders([folder])
    cluster = how.cluster_of(folder)
    add = functools.partial(add_cycles, config=study, cycles=cycles)
    return continue_study(
        folder,
        how,
        cluster,
        run=functools.partial(resume_study, config=study, cycles=cycles),
        add=None if study is None and cycles is None else add,
        as_json=json_,
        quiet=quiet,
        verbose=verbose,
        measure=measure,
    )
