"""`llem-cli experiment run`: one measurement in this process."""

from __future__ import annotations

from pathlib import Path

from llem_cli._app import OK
from llem_cli._commands.options import Json, Quiet, Set, Verbose, overrides
from llem_cli._display.console import note, show_experiment, show_json
from llem_config import load_experiment
from llem_runner import encode_json, run_experiment


def run(
    path: Path,
    /,
    *,
    output: Path | None = None,
    settings: Set = (),
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Measure one experiment and print its result.

    Args:
        path: the experiment file.
        output: folder for result and samples; nothing is written without it.
        settings: fields set over the file, `key=value`.
        json_: print the ExperimentResult.
        quiet: show no progress.
        verbose: show tracebacks.
    """
    del verbose  # read where errors are explained
    config = load_experiment(path, overrides=overrides(settings))
    result = run_experiment(
        config,
        output=output,
        on_stage=None if quiet else lambda stage: note(f"{stage} ..."),
        on_warning=lambda warning: note(f"warning: {warning}"),
    )
    if json_:
        show_json(encode_json(result))
    else:
        show_experiment(result)
    return OK
