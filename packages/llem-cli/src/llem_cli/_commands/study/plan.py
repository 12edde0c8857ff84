"""`llem-cli study plan` and `llem-cli study validate`: look at a study before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llem_cli._app import FAILED, OK
from llem_cli._commands.options import (
    CLI_DEFAULTS,
    Cycles,
    Data,
    Gaps,
    Json,
    Order,
    Set,
    StudyFile,
    Tracebacks,
    command_line_layer,
)
from llem_cli._display.console import say, show_json
from llem_cli._display.plan import (
    REFUSED,
    dataset_line,
    show_plan,
    study_as_json,
    summary_lines,
    warning_lines,
)
from llem_config import Settings, StudyConfig, load_settings, load_study
from llem_runner.plan import (
    check_data,
    check_files,
    expect,
    fill_gaps,
    forecast,
    schedule,
    why_not_comparable,
)


def plan(
    path: StudyFile,
    /,
    *,
    cycles: Cycles = None,
    order: Order = None,
    gaps: Gaps = True,
    settings: Set = (),
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """List every run of a study in execution order; measure nothing."""
    del verbose  # read where errors are explained
    layer = command_line_layer(settings, cycles=cycles, order=order, gaps=gaps)
    machine_settings = load_settings()
    study = load_planned_study(path, layer, machine_settings)
    expectation = expect(study, None, machine_settings)
    runs = schedule(study)
    expected = forecast(study, runs, machine_settings.output.results_dir, machine_settings)
    show_plan(study, runs, expectation, expected, as_json=json_)
    return FAILED if expectation.refused_everywhere else OK


def validate(
    path: StudyFile,
    /,
    *,
    cycles: Cycles = None,
    order: Order = None,
    data: Data = False,
    settings: Set = (),
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Check a study file and count its points; measure nothing."""
    del verbose  # read where errors are explained
    layer = command_line_layer(settings, cycles=cycles, order=order)
    machine_settings = load_settings()
    study = load_planned_study(path, layer, machine_settings)
    checks = check_data(study) if data else None
    refused = check_files(study)
    if reason := why_not_comparable(study):
        study = study.model_copy(update={"warnings": (*study.warnings, reason)})
    if json_:
        show_json(study_as_json(study, refused, checks))
    else:
        runs = schedule(study)
        expected = forecast(study, runs, machine_settings.output.results_dir, machine_settings)
        for line in (*summary_lines(study, runs, expected), *warning_lines(study)):
            say(line)
        for line in dict.fromkeys(dataset_line(check) for check in checks or ()):
            say(line)
        for line in refused:
            say(f"{REFUSED}: {line}")
    return FAILED if refused else OK


def load_planned_study(path: Path, layer: Mapping[str, Any], settings: Settings) -> StudyConfig:
    """Return the study of a file with the flags applied, as it will run on this machine."""
    study = load_study(path, defaults=CLI_DEFAULTS, overrides=layer)
    return fill_gaps(study, settings)
