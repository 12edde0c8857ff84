"""`llem-cli study export`: the tables of a study, for pandas, polars, DuckDB, R and spreadsheets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import StudyOrArchive, check_studies
from llem_cli._display.console import count, first_prefixed, say, show_json
from llem_cli._display.numbers import file_size
from llem_report import Export, export
from llem_runner.archives import open_study
from llem_runner.records import encode_json

# Text, because a path would lose the `/` at the end that makes it a folder.
TargetPath = Annotated[
    str,
    Parameter(
        help="File that ends with .parquet, .csv or .jsonl, for one table; or a folder, for all "
        "tables and datapackage.json, which describes their columns."
    ),
]
TableChoice = Annotated[
    Literal["runs", "requests", "points", "levels", "samples"] | None,
    Parameter(help="The only table to write (default: runs into a file, all into a folder)."),
]
FormatChoice = Annotated[
    Literal["parquet", "csv", "jsonl"] | None,
    Parameter(help="Format of the tables in a folder (default: parquet)."),
]
Samples = Annotated[
    bool,
    Parameter(negative=(), help="Also write the readings of the meters, which can be large."),
]
Croissant = Annotated[
    bool, Parameter(negative=(), help="Also describe the tables in the format Croissant.")
]
Boamps = Annotated[
    bool,
    Parameter(
        negative=(), help="Also write a report of each run with energy in the format BoAmps."
    ),
]
Force = Annotated[bool, Parameter(negative=(), help="Replace existing files.")]


def export_(
    study: StudyOrArchive,
    target: TargetPath,
    /,
    *,
    table: TableChoice = None,
    format_: Annotated[FormatChoice, Parameter(name="--format")] = None,
    samples: Samples = False,
    croissant: Croissant = False,
    boamps: Boamps = False,
    force: Force = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Write the tables of a study to files."""
    del verbose  # read where errors are explained
    check_studies([study])
    with open_study(study) as opened:
        exported = export(
            opened.folder,
            target,
            table=table,
            format=format_,
            samples=samples,
            croissant=croissant,
            boamps=boamps,
            force=force,
        )
        exported = opened.named(exported)
    if json_:
        show_json(encode_json(exported))
    else:
        _show(exported)
    return OK


def _show(exported: Export) -> None:
    for file in exported.files:
        size = file_size(file.n_bytes)
        say(f"{file.path}: {file.n_rows:,} rows, {file.n_columns} columns, {size}")
    if exported.boamps:
        say(
            f"{Path(exported.boamps[0]).parent}: {count(len(exported.boamps), 'report')} for BoAmps"
        )
    for line in first_prefixed(exported.notes, "warning: "):
        say(line)
