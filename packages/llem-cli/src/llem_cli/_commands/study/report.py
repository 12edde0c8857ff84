"""`llem-cli study report`: a study as one HTML file, and its figures and tables for a paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from llem_cli._app import OK
from llem_cli._commands.options import WHOLE, Json, Tracebacks
from llem_cli._commands.study.figure import figure_flag
from llem_cli._commands.study.folder import StudyOrArchive, check_studies, usage_error
from llem_cli._display.console import say, show_json
from llem_cli._display.numbers import file_size
from llem_config import ConfigError, Fault
from llem_config.text import one_line
from llem_report import read_report
from llem_runner.archives import is_archive, open_study
from llem_runner.records import encode_json

_Format = Literal["svg", "pdf", "png", "json"]
_FORMATS: tuple[_Format, ...] = get_args(_Format)


def report(
    study: StudyOrArchive,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(help="File of the report (default: report.html in the folder of the study)."),
    ] = None,
    figures: Annotated[
        Path | None,
        Parameter(help="Also write each figure, and tables for LaTeX, into this folder."),
    ] = None,
    format_: Annotated[
        str, Parameter(name="--format", help="Formats of the figures: svg, pdf, png, json.")
    ] = "svg",
    width: Annotated[
        Literal["text", "column"],
        Parameter(help="Width of the figures: of a page, or of one of two columns."),
    ] = "text",
    figure: Annotated[
        str | None,
        Parameter(help="Figure to compare (default: energy per output token, else tokens/s)."),
    ] = None,
    by: Annotated[
        Literal["axis", "field"],
        Parameter(help="Choices: the axes of the study file, or every field that differs."),
    ] = "axis",
    run: Annotated[
        tuple[int, ...],
        WHOLE,
        Parameter(
            negative=(), help="Draw the power of this run; repeatable (default: the best point's)."
        ),
    ] = (),
    static: Annotated[
        bool,
        Parameter(
            negative=(), help="Leave the scripts out: smaller, without tooltips and sorting."
        ),
    ] = False,
    force: Annotated[bool, Parameter(negative=(), help="Replace existing files.")] = False,
    json_: Json = False,
    verbose: Tracebacks = False,
) -> int:
    """Write the report of a study as one HTML file, and on request its figures and tables."""
    del verbose  # read where errors are explained
    check_studies([study])
    if output is None and is_archive(study):
        raise usage_error(
            "--output",
            f"{study} is an archive, which is not changed; name a file for the report: "
            "`--output report.html`",
        )
    formats = _formats(format_)
    with open_study(study) as opened, figure_flag(figure):
        made = read_report(opened.folder, figure=figure, by=by, runs=run)
        made = replace(made, analysis=opened.named(made.analysis))
        page = made.write(output, static=static, force=force)
        files = (
            made.write_figures(figures, formats=formats, width=width, force=force)
            if figures
            else []
        )
    if json_:
        paths = [str(file) for file in files]
        show_json(encode_json({"report": str(page), "figures": paths, "analysis": made.analysis}))
        return OK
    say(made.analysis.finding)
    say(f"{page}: {file_size(page.stat().st_size)}; open it in a browser")
    if files:
        say(f"{figures}: {len(files)} files")
    return OK


def _formats(text: str) -> list[_Format]:
    """Return the formats of a list such as `svg,pdf`.

    Raises:
        ConfigError: a format is unknown.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in _FORMATS:
            problem = f"expected svg, pdf, png or json, found {one_line(name, 60)!r}"
            raise ConfigError(
                [Fault("<command line>", 0, 0, "--format", f"{problem}; use e.g. svg,pdf")]
            )
    return [name for name in _FORMATS if name in names]
