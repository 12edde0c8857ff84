"""`llem-cli study extend`: add points to a study that was measured."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from llem_cli._app import OK
from llem_cli._commands.options import WHOLE, Json, Quiet, Verbose
from llem_cli._commands.study.continuing import (
    HERE,
    MEASURED_NOTHING,
    Continuing,
    continue_study,
)
from llem_cli._commands.study.folder import StudyFolder, check_folders, usage_error
from llem_cli._commands.study.run import MeasureFunction
from llem_cli._display.console import count, duration, note, say, show_json
from llem_cli._display.progress import Progress
from llem_cli._display.time_left import unknown_times
from llem_cli._signals import controlled_by_terminal
from llem_runner import extend_study
from llem_runner.events import Event, ReadingInputs
from llem_runner.plan import MIN_CYCLES, PlannedExtension, plan_extension
from llem_runner.records import encode_json
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
    if cycles is not None and cycles < MIN_CYCLES:
        raise usage_error(
            "--cycles",
            f"expected at least {MIN_CYCLES}, because points with fewer runs are not compared; found "
            f"{cycles}; use {MIN_CYCLES} or more",
        )
    cluster = how.cluster_of(folder, can_plan=True)
    if not is_divided(folder) and how.dry_run:
        return _plan(folder, study, anchors, cycles, as_json=json_, quiet=quiet, verbose=verbose)
    return continue_study(
        folder,
        how,
        cluster,
        run=functools.partial(extend_study, config=study, anchors=anchors, cycles=cycles),
        add=functools.partial(add_points, config=study, anchors=anchors, cycles=cycles),
        as_json=json_,
        quiet=quiet,
        verbose=verbose,
        measure=measure,
    )


def _plan(
    folder: Path,
    study: Path,
    anchors: int | None,
    cycles: int | None,
    *,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Print what would be measured of a study that is not divided."""
    with (
        controlled_by_terminal() as control,
        Progress(quiet=quiet, verbose=verbose) as progress,
    ):

        def show(event: Event) -> None:
            if isinstance(event, ReadingInputs):  # may take minutes; all others are printed below
                progress(event)

        planned = plan_extension(
            folder, study, anchors=anchors, cycles=cycles, on_event=show, control=control
        )
    if as_json:
        show_json(encode_json(planned))
        return OK
    for line in (*(f"warning: {each}" for each in planned.warnings), *planned.notes):
        say(line)
    runs = f"{count(planned.n_runs, 'run')} left, {planned.n_completed} already completed"
    say(f"{runs}; takes {_time(planned)}")
    note(MEASURED_NOTHING)
    return OK


def _time(planned: PlannedExtension) -> str:
    if planned.left_s is not None:
        return f"about {duration(planned.left_s)}"
    return f"at least {duration(planned.least_s)}, plus {unknown_times(planned.unknown)}"
