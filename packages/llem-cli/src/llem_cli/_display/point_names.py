"""How a table names the points of a study: one column per factor, or a number where these are too wide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from llem_cli._display.console import add_row, plain_table, print_line, print_table

_MAX_HEADER = 8  # characters of a name that is not divided
_UNLIMITED = 10_000  # columns


class PointNames(NamedTuple):
    """The columns that name a point, and the cells of each point by its hash."""

    columns: tuple[str, ...]
    cells: Mapping[str, tuple[str, ...]]


def by_factor(levels: Mapping[str, Mapping[str, str]], labels: Mapping[str, str]) -> PointNames:
    """Return one column per factor; the label of the point where a point has no factors.

    Args:
        levels: of each factor, by the hash of the point.
        labels: of the points, by hash.
    """
    keys = list(dict.fromkeys(key for point in levels.values() for key in point))
    if not keys or not all(levels.get(point) for point in labels):  # as in old files
        return _by_label(labels)
    cells = {point: tuple(levels[point].get(key, "-") for key in keys) for point in labels}
    if len(set(cells.values())) < len(cells):  # the factors do not distinguish all points
        return _by_label(labels)
    return PointNames(tuple(_short(keys)), cells)


def by_number(labels: Iterable[str]) -> PointNames:
    """Return a number for each point, in this order of their hashes."""
    return PointNames(("point",), {point: (str(n),) for n, point in enumerate(labels, 1)})


def print_numbers(labels: Mapping[str, str], console: Console) -> None:
    """Print which point has which number; long labels are wrapped beside it."""
    print_line(console, "points:")
    table = plain_table(show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for n, label in enumerate(labels.values(), 1):
        add_row(table, [f"  {n}", label])
    print_table(table, console)


def print_rows(
    rows: Sequence[tuple[str, Sequence[str], Sequence[str]]],
    headers: tuple[Sequence[str], Sequence[str]],
    levels: Mapping[str, Mapping[str, str]],
    labels: Mapping[str, str],
    console: Console,
    *,
    n_optional: int = 0,
) -> None:
    """Print a table in which each row is about a point, with the factors in the middle.

    Args:
        rows: the hash of a point, the cells left of its factors, and those right of them.
        headers: of both parts; those on the left are numbers.
        levels: of each factor, by the hash of the point.
        labels: of the points, by hash.
        console: where to print. If its width does not suffice, points have numbers.
        n_optional: number of the first cells on the right that are left out before that.
    """
    names = by_factor(levels, labels)
    for n_left_out in range(n_optional + 1):
        shorter = [(point, left, right[n_left_out:]) for point, left, right in rows]
        table = _table(shorter, (headers[0], headers[1][n_left_out:]), names)
        if fits(table, console):
            print_table(table, console)
            return
    print_table(_table(rows, headers, by_number(labels)), console)
    print_numbers(labels, console)


def fits(table: Table, console: Console) -> bool:
    """Return whether a table needs no line break within a cell."""
    return width(table, console) <= console.width


def width(table: Table, console: Console) -> int:
    """Return the width of a table without a line break within a cell, in characters."""
    unlimited = console.options.update(max_width=_UNLIMITED)
    return console.measure(table, options=unlimited).maximum


def _table(
    rows: Sequence[tuple[str, Sequence[str], Sequence[str]]],
    headers: tuple[Sequence[str], Sequence[str]],
    names: PointNames,
) -> Table:
    table = plain_table()
    for header in headers[0]:
        table.add_column(header, justify="right", no_wrap=True)
    for header in (*names.columns, *headers[1]):
        table.add_column(header, overflow="fold")
    for point, left, right in rows:
        add_row(table, [*left, *names.cells[point], *right])
    return table


def _by_label(labels: Mapping[str, str]) -> PointNames:
    return PointNames(("point",), {point: (label,) for point, label in labels.items()})


def _short(keys: Sequence[str]) -> list[str]:
    """Return the names of the factors without their section, unless two would be the same."""
    last = [key.rsplit(".", 1)[-1] for key in keys]
    return [
        _divided(name if last.count(name) == 1 else key)
        for key, name in zip(keys, last, strict=True)
    ]


def _divided(name: str) -> str:
    """Return a long name on several lines."""
    if len(name) <= _MAX_HEADER:
        return name
    return name.replace("_", "_\n").replace(".", ".\n")
