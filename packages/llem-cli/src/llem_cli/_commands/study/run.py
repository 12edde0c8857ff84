"""`llem-cli study run`: run every experiment of a study file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict

from cyclopts import Parameter

import llem_report  # its names load large libraries when they are used
from llem_cli._app import FAILED, INTERRUPTED, OK
from llem_cli._commands.options import (
    CLI_DEFAULTS,
    Cycles,
    Gaps,
    Json,
    Order,
    ParentFolder,
    Quiet,
    Retry,
    Set,
    TimeLimit,
    Timeout,
    Verbose,
    Wait,
    command_line_layer,
    parse_duration_s,
)
from llem_cli._commands.study.cluster_flags import On, check_of_cluster
from llem_cli._commands.study.on_gpus import Gpus, measure_on_gpus, parse_gpus
from llem_cli._commands.study.plan import load_planned_study
from llem_cli._commands.study.submit import AS_USUAL, Dividing, submit
from llem_cli._commands.without_file import Model, Sweep, check_source, study_fields
from llem_cli._display.console import closed_terminal_ignored, note, resume_command, show_json
from llem_cli._display.plan import show_plan, summary_lines
from llem_cli._display.progress import Progress
from llem_cli._display.study_result import show_study_result
from llem_cli._signals import controlled_by_terminal
from llem_config import LlemError, Settings, load_settings
from llem_config.overrides import study_from_fields
from llem_energy import measure as default_measure
from llem_report.records import Analysis
from llem_runner import StudyResult, run_study
from llem_runner.executors import Measure
from llem_runner.plan import expect, fill_gaps, forecast, schedule
from llem_runner.records import encode_json

MeasureFunction = Annotated[Measure | None, Parameter(parse=False)]
"""What each run calls; no flag, but other programs can pass their own."""


class _Options(TypedDict):
    """What a study needs on one GPU and on several."""

    output: Path | None
    measure: Measure
    settings: Settings
    retry: int
    time_limit_s: float | None


_EXIT_CODES = {"completed": OK, "failed": FAILED, "aborted": FAILED, "interrupted": INTERRUPTED}


def run(
    path: Annotated[Path | None, Parameter(help="Study file (YAML), or none with --model.")] = None,
    /,
    *,
    model: Model = None,
    sweep: Sweep = (),
    cycles: Cycles = None,
    order: Order = None,
    gaps: Gaps = True,
    output: ParentFolder = None,
    timeout: Timeout = None,
    retry: Retry = 0,
    time_limit: TimeLimit = None,
    wait: Wait = False,
    gpus: Gpus = None,
    on: On = None,
    dividing: Dividing = AS_USUAL,
    settings: Set = (),
    dry_run: Annotated[
        bool, Parameter(negative=(), help="Show the plan and exit; measure nothing.")
    ] = False,
    report: Annotated[
        bool, Parameter(negative=(), help="At the end, also write report.html into the folder.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    measure: MeasureFunction = None,
) -> int:
    """Run every experiment of a study and return the exit code."""
    check_source(path, model, sweep, "a study")
    if on is not None:
        check_of_cluster(
            {
                "--gpus": gpus,
                "--model": model,
                "--report": report,
                "--time-limit": time_limit,
                "--timeout": timeout,
                "--wait": wait,
            }
        )
        assert path is not None  # without a model there is one
        return submit(
            path,
            on=on,
            dividing=dividing,
            retry=retry,
            cycles=cycles,
            order=order,
            gaps=gaps,
            output=output,
            settings=settings,
            dry_run=dry_run,
            json_=json_,
        )
    dividing.check_unused()
    layer = command_line_layer(settings, cycles=cycles, order=order, gaps=gaps, timeout=timeout)
    time_limit_s = parse_duration_s(time_limit)
    wanted = None if gpus is None else parse_gpus(gpus, wait=wait)
    machine_settings = load_settings()
    if path is not None:
        study = load_planned_study(path, layer, machine_settings)
    else:
        fields = study_fields(model or "", sweep)
        study = study_from_fields(fields, defaults=CLI_DEFAULTS, overrides=layer)
        study = fill_gaps(study, machine_settings)
    runs = schedule(study)
    results_dir = output or machine_settings.output.results_dir
    # Only of runs one after the other: several GPUs share them in a way that is not planned.
    expected = None
    if gpus is None and (dry_run or not quiet):
        expected = forecast(study, runs, results_dir, machine_settings)
    if dry_run:
        expectation = expect(study, results_dir, machine_settings)
        show_plan(study, runs, expectation, expected, as_json=json_)
        return FAILED if expectation.refused_everywhere else OK
    if not quiet:
        for line in summary_lines(study, runs, expected):
            note(line)
    options: _Options = {
        "output": output,
        "measure": measure or default_measure,
        "settings": machine_settings,
        "retry": retry,
        "time_limit_s": time_limit_s,
    }
    if wanted is not None:
        result, folder = measure_on_gpus(study, wanted, quiet=quiet, **options)
    else:
        with (
            controlled_by_terminal() as control,
            Progress(quiet=quiet, verbose=verbose) as progress,
        ):
            result = run_study(study, control=control, on_event=progress, wait=wait, **options)
        folder = progress.folder
    code = finish(result, folder, as_json=json_, gpus=gpus)
    if report:
        note(f"report: {llem_report.write_report(folder)}")
    return code


def finish(result: StudyResult, folder: Path, *, as_json: bool, gpus: str | None = None) -> int:
    """Show the result of a study and return the exit code.

    Args:
        result: of the study.
        folder: of the study.
        as_json: whether to print it as JSON.
        gpus: of the flag --gpus, for the command that continues the study.
    """
    with closed_terminal_ignored():
        if as_json:
            show_json(encode_json(result))
        else:
            show_study_result(result, folder, analysis=_analysis(folder))
    if result.status in ("interrupted", "aborted"):
        note(f"continue with {resume_command(folder, gpus)}")  # the last line, ready to be copied
    return _EXIT_CODES[result.status]


def _analysis(folder: Path) -> Analysis | str:
    """Return which choices matter most; the study is measured, so an error is only a line."""
    try:
        return llem_report.analyse(folder)
    except LlemError as error:
        return str(error)
