"""`llem-cli study pack`: one file for the runs of each attempt at the shards of a study."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import StudyFolder, check_folders
from llem_cli._display.console import count, first_prefixed, note, say, show_json
from llem_runner.records import encode_json
from llem_runner.shards import pack_study


def pack(
    folder: StudyFolder,
    /,
    *,
    even_if_running: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Pack also attempts of which it cannot be told from here whether they still run.",
        ),
    ] = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Pack the files of the runs of all complete shards, and return the exit code."""
    del verbose  # read where errors are explained
    check_folders([folder])
    packed = pack_study(folder, even_if_running=even_if_running)
    if json_:
        show_json(encode_json(packed))
        return OK
    say(
        f"{folder}: {count(packed.n_files, 'file')} of {count(packed.n_attempts, 'attempt')} packed "
        f"({packed.n_bytes / 1e6:.1f} MB)"
    )
    for line in first_prefixed(packed.left):
        note(line)
    return OK
