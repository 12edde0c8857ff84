"""`llem-cli experiment run`: one measurement in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json, Quiet, Set, Tracebacks, command_line_layer
from llem_cli._commands.without_file import Model, check_source
from llem_cli._display.console import note, show_json
from llem_cli._display.experiment_result import show_experiment_result
from llem_cli._display.stage_lines import StageLines
from llem_config import load_experiment
from llem_config.overrides import experiment_from_fields
from llem_runner import run_experiment
from llem_runner.records import encode_json

ExperimentFile = Annotated[
    Path | None, Parameter(help="Experiment file (YAML), or none with --model.")
]


def run(
    path: ExperimentFile = None,
    /,
    *,
    model: Model = None,
    output: Annotated[
        Path | None,
        Parameter(help="Folder for the result and the samples (default: save nothing)."),
    ] = None,
    settings: Set = (),
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Tracebacks = False,
) -> int:
    """Measure one experiment and print its result."""
    del verbose  # read where errors are explained
    check_source(path, model, (), "an experiment")
    layer = command_line_layer(settings)
    if path is not None:
        experiment = load_experiment(path, overrides=layer)
    else:
        experiment = experiment_from_fields({"model": model}, overrides=layer)
    result = run_experiment(
        experiment,
        output=output,
        on_stage=None if quiet else StageLines(experiment),
        on_warning=lambda warning: note(f"warning: {warning}"),
    )
    if json_:
        show_json(encode_json(result))
    else:
        show_experiment_result(result)
    return OK
