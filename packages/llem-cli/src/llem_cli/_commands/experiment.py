"""`llem-cli experiment run`: one measurement in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json, Quiet, Set, Tracebacks, command_line_layer
from llem_cli._display.console import note, show_json
from llem_cli._display.experiment_result import show_experiment_result
from llem_config import load_experiment
from llem_runner import run_experiment
from llem_runner.records import encode_json

ExperimentFile = Annotated[Path, Parameter(help="Experiment file (YAML).")]


def run(
    path: ExperimentFile,
    /,
    *,
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
    experiment = load_experiment(path, overrides=command_line_layer(settings))
    result = run_experiment(
        experiment,
        output=output,
        on_stage=None if quiet else lambda stage: note(f"{stage} ..."),
        on_warning=lambda warning: note(f"warning: {warning}"),
    )
    if json_:
        show_json(encode_json(result))
    else:
        show_experiment_result(result)
    return OK
