"""The figures and tables of a study as files for a paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from llem_report._errors import ReportError
from llem_report._figures.figure import Figure
from llem_report._figures.registry import figures
from llem_report._figures.theme import Width
from llem_report._page.latex import effects_tex, points_tex
from llem_report._tables.pending_files import PendingFiles
from llem_report.records import Analysis

FigureFormat = Literal["svg", "pdf", "png", "json"]
FORMATS: tuple[FigureFormat, ...] = get_args(FigureFormat)


def write_paper_files(
    analysis: Analysis,
    more: Sequence[Figure],
    folder: Path,
    *,
    formats: Sequence[FigureFormat],
    width: Width,
    force: bool,
) -> list[Path]:
    """Write every figure in every format, and the tables for LaTeX; return the paths.

    Raises:
        ReportError: there is no such format, a file exists, or the folder cannot be written.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ReportError(
            f"expected formats of {', '.join(FORMATS)}; found {unknown[0]!r}; use e.g. svg,pdf"
        )
    render: dict[FigureFormat, Callable[[Figure], bytes]] = {
        "svg": lambda figure: figure.svg(width).encode(),
        "pdf": lambda figure: figure.pdf(width),
        "png": lambda figure: figure.png(width),
        "json": lambda figure: figure.json(width).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ReportError(f"{folder}: cannot make this folder: {reason}") from error
    contents = [
        (f"{figure.number}_{figure.name}.{kind}", render[kind], figure)
        for figure in (*figures(analysis), *more)
        for kind in dict.fromkeys(formats)
    ]
    paths = []
    with PendingFiles(force=force) as files:
        for name, make, figure in contents:
            paths.append(folder / name)
            with files.create(paths[-1]) as file:
                file.write(make(figure))
        for name, table in (("table_effects.tex", effects_tex), ("table_points.tex", points_tex)):
            paths.append(folder / name)
            with files.create(paths[-1]) as file:
                file.write(table(analysis).encode())
        files.publish()
    return paths
