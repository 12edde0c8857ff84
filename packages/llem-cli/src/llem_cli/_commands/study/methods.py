"""`llem-cli study methods`: what a study did, for the section on methods of a paper."""

from __future__ import annotations

import textwrap
from typing import Annotated

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import Json, Tracebacks
from llem_cli._commands.study.folder import StudyOrArchive, check_studies
from llem_cli._display.console import (
    add_row,
    plain_table,
    print_table,
    print_text,
    say,
    show_json,
    stdout_console,
)
from llem_config.text import one_line
from llem_report import Methods, describe_methods, methods_tex
from llem_runner.archives import open_study
from llem_runner.records import encode_json

_MAX_WIDTH = 100  # columns of a paragraph; longer lines are hard to read


def methods(
    study: StudyOrArchive,
    /,
    *,
    latex: Annotated[
        bool, Parameter(negative=(), help="Print the paragraph and the table for LaTeX.")
    ] = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Print what a study did, from its files alone, and what a paper must admit."""
    del verbose  # read where errors are explained
    check_studies([study])
    with open_study(study) as opened:
        found = opened.named(describe_methods(opened.folder))
    if json_:
        show_json(encode_json(found))
    elif latex:
        print_text(methods_tex(found))
    else:
        _show(found)
    return OK


def _show(found: Methods) -> None:
    print_text(_filled(found.paragraph))
    say("")
    if found.admissions:
        say("to be admitted:")
        for sentence in found.admissions:
            print_text(_filled(sentence, "- "))
        say("")
    table = plain_table(show_header=False)
    for row in found.rows:
        add_row(table, (row.name, "; ".join(row.values)))
    print_table(table)


def _filled(text: str, mark: str = "") -> str:
    """Return a text in lines that are easy to read; a word that is too long stays whole."""
    return textwrap.fill(
        one_line(text, len(text)),
        min(_MAX_WIDTH, stdout_console().width),
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
