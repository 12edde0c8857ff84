"""`llem-cli study list`: the studies in the folder for results, newest first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import studies_in, usage_error
from llem_cli._display.console import show_json
from llem_cli._display.study_list import show_studies
from llem_config import load_settings
from llem_config.folders import NO_SUCH_FOLDER, found_instead
from llem_runner.records import encode_json

Results = Annotated[
    Path | None, Parameter(help="Folder with studies (default: results_dir in the settings).")
]


def list_(folder: Results = None, /, *, json_: Json = False, verbose: Tracebacks = False) -> int:
    """List the studies of a folder with their states; with `--json`, print one object."""
    del verbose  # read where errors are explained
    found = None if folder is None else found_instead(folder)
    if found:
        what = "no such folder" if found == NO_SUCH_FOLDER else found
        raise usage_error("", f"{folder}: expected a folder with studies, found {what}")
    where = folder or load_settings().output.results_dir
    studies = studies_in(where)
    if json_:
        show_json(encode_json({"folder": str(where), "studies": studies}))
    else:
        show_studies(where, studies)
    return OK
