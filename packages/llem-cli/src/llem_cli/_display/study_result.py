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
    fits,
    print_numbers,
)
from llem_cli._display.ranking import show_ranking
from llem_cli._display.study_cells import Column, figure_columns, rows
from llem_cli._display.study_notes import result_notes
from llem_report.records import Analysis
from llem_runner import StudyResult
from llem_runner.records import PointSummary


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
    """Print the table; in a narrow terminal as two tables, or with numbers in place of levels."""
    labels = {point.config_hash: point.label for point in points}
    names = by_factor({point.config_hash: point.levels for point in points}, labels)
    numbers = by_number(labels)
    halves = [
        [column for column in figures if column.is_main],
        [column for column in figures if not column.is_main],
    ]
    halves = [half for half in halves if half]
    for left, groups in ((names, [figures]), (names, halves), (numbers, [figures])):
        tables = [_table(points, left, group) for group in groups]
        if all(fits(table, console) for table in tables):
            break
    else:
        tables = [_table(points, numbers, group) for group in halves]
    for place, table in enumerate(tables):
        if place:
            print_line(console, "")
        print_table(table, console)
    if left is numbers:
        print_numbers(labels, console)


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
