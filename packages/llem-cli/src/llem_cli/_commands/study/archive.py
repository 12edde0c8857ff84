"""`llem-cli study archive`: a study as one file for a repository of data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import StudyFolder, check_folders
from llem_cli._display.console import MAX_LINES, count, note, say, show_json
from llem_cli._display.numbers import file_size
from llem_report import archive_study
from llem_runner.records import encode_json


def archive(
    folder: StudyFolder,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(help="Zip file to write (default: the name of the folder, beside it)."),
    ] = None,
    licence: Annotated[
        str | None,
        Parameter(
            help="What others may do with it: e.g. CC-BY-4.0, CC0-1.0, or a file with the text."
        ),
    ] = None,
    author: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            help="'Family, Given', with an ORCID in <> if you like, or an institution; repeatable.",
        ),
    ] = (),
    title: Annotated[
        str | None, Parameter(help="Title of the data (default: from the name of the study).")
    ] = None,
    force: Annotated[bool, Parameter(negative=(), help="Replace an existing file.")] = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Write the archive of a study."""
    del verbose  # read where errors are explained
    check_folders([folder])
    made = archive_study(folder, output, licence=licence, authors=author, title=title, force=force)
    if json_:
        show_json(encode_json(made))
        return OK
    say(f"{made.path}: {file_size(made.n_bytes)}, {count(made.n_files, 'file')}")
    say(f"SHA-256: {made.sha256}")
    if made.left_out:
        names = ", ".join(made.left_out[:MAX_LINES])
        n_more = len(made.left_out) - MAX_LINES
        more = f" and {n_more} more" if n_more > 0 else ""
        note(f"left out, because it is no record of a measurement: {names}{more}")
    for line in made.notes:
        note(f"note: {line}")
    return OK
