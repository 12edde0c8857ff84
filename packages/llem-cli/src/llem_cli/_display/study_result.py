"""The result of a study: a table with one row per point, followed by notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from llem_cli._display.console import (
    add_row,
    plain_table,
    print_line,
    print_table,
    say,
    stdout_console,
)
from llem_cli._display.phase_cells import PHASES_TITLE, phase_columns
from llem_cli._display.point_names import (
    PointNames,
    by_factor,
    by_number,
    print_numbers,
    width,
)
from llem_cli._display.ranking import show_ranking
from llem_cli._display.study_cells import Column, figure_columns, rows
from llem_cli._display.study_notes import result_notes
from llem_report.records import Analysis
from llem_runner import StudyResult
from llem_runner.records import PointSummary

_GAP = 2
"""Characters between two columns of a table."""
_MAX_WITH_NAMES = 3
"""Tables that repeat the levels of the points; more are longer to read than one list of the points."""


def show_study_result(
    result: StudyResult,
    folder: Path,
    *,
    analysis: Analysis | str | None = None,
    console: Console | None = None,
) -> None:
    """Print the result of a study: one row per point, how the points compare, what went wrong.

    Args:
        result: the result.
        folder: the study's folder.
        analysis: which choices matter most and what limited each point, or why it could not be
            analysed; None prints neither.
        console: where to print the table; stdout if not given.
    """
    console = console or stdout_console()
    points = rows(result)
    print_line(console, f"{result.study_name}: {result.status}", "bold")
    _print_points(points, figure_columns(result), console)
    phases = phase_columns(analysis) if isinstance(analysis, Analysis) else []
    if phases:
        print_line(console, "")
        print_line(console, PHASES_TITLE)
        _print_points(points, phases, console)
    for line in result_notes(result, folder):
        say(line)
    if isinstance(analysis, str):
        say(f"no ranking of the choices: {analysis}")
    elif analysis is not None:
        compared = result.summary.comparisons
        shown = (
            (*compared.caveats, *compared.late_points, *compared.left_out_machines)
            if compared
            else ()
        )
        show_ranking(analysis, shown=shown, console=console)
    say(f"results: {folder}")


def _print_points(points: list[PointSummary], figures: list[Column], console: Console) -> None:
    """Print the table; in a narrow terminal as several tables, or with numbers in place of levels."""
    labels = {point.config_hash: point.label for point in points}
    names = by_factor({point.config_hash: point.levels for point in points}, labels)
    nameless = PointNames((), dict.fromkeys(labels, ()))
    widths = [_GAP + width(_table(points, nameless, [column]), console) for column in figures]
    room = console.width - width(_table(points, names, ()), console)
    groups = _groups(figures, widths, room)
    n_main = len([group for group in groups if group[0].is_main])
    has_numbers = max(widths) > room or n_main > 1 or len(groups) > _MAX_WITH_NAMES
    if has_numbers:
        names = by_number(labels)
        groups = _groups(figures, widths, console.width - width(_table(points, names, ()), console))
    for place, group in enumerate(groups):
        if place:
            print_line(console, "")
        print_table(_table(points, names, group), console)
    if has_numbers:
        print_numbers(labels, console)


def _groups(figures: Sequence[Column], widths: Sequence[int], room: int) -> list[list[Column]]:
    """Return the columns of each table: one if it fits, else as few as fit, the main figure first.

    Args:
        figures: all columns.
        widths: of each, with the gap before it.
        room: beside the names of the points. A column that is wider has a table of its own.
    """
    if sum(widths) <= room:
        return [list(figures)]
    groups: list[list[Column]] = []
    left = 0
    for column, needed in sorted(
        zip(figures, widths, strict=True), key=lambda pair: not pair[0].is_main
    ):
        if groups and groups[-1][0].is_main == column.is_main and needed <= left:
            groups[-1].append(column)
        else:
            groups.append([column])
            left = room
        left -= needed
    return groups


def _table(points: Sequence[PointSummary], names: PointNames, figures: Sequence[Column]) -> Table:
    """Return one row per point."""
    table = plain_table()
    for name in names.columns:
        table.add_column(name, no_wrap=True)
    for column in figures:
        table.add_column(
            column.name, justify="right", no_wrap=not column.is_wrapped, overflow="fold"
        )
    for point in points:
        cells = [column.cell(point) for column in figures]
        add_row(table, [*names.cells[point.config_hash], *cells])
    return table
