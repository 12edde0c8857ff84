"""The runs of a study as complete cycles over the points that are compared."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llem_report._comparison.measured_study import MeasuredRun
from llem_report._comparison.welch import Part

Block = tuple[int, int]  # as in MeasuredRun


class Table(NamedTuple):
    """A part of a study: points that ran together in complete cycles."""

    points: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    """Logarithms of the figure: one row per complete cycle, one column per point."""


class CompleteCycles(NamedTuple):
    """The complete cycles of a study over the compared points."""

    tables: tuple[Table, ...]
    """One per part whose cycles no other part shares; see `Part`."""

    @property
    def n_cycles(self) -> int:
        """Return the number of complete cycles; the smallest of all parts if there are several."""
        return min((len(table.rows) for table in self.tables), default=0)

    @property
    def n_runs(self) -> int:
        """Return the number of runs in complete cycles."""
        return sum(len(table.rows) * len(table.points) for table in self.tables)

    def parts(self) -> tuple[Part, ...]:
        """Return the cycle means; call only if each table has a row."""
        n_points = sum(len(table.points) for table in self.tables)
        return tuple(
            Part(len(table.points) / n_points, tuple(map(statistics.fmean, table.rows)))
            for table in self.tables
        )

    def deviations(self, point: str) -> tuple[float, ...]:
        """Return how far each run of a point is from the mean of its cycle."""
        for table in self.tables:
            if point in table.points:
                column = table.points.index(point)
                return tuple(row[column] - statistics.fmean(row) for row in table.rows)
        return ()


def values_of(
    runs: Sequence[MeasuredRun], figure: str, points: Sequence[str]
) -> dict[str, dict[Block, float]]:
    """Return the logarithms of a figure by point and block; every point has an entry."""
    values: dict[str, dict[Block, float]] = {point: {} for point in points}
    for run in runs:
        if run.config_hash in values and figure in run.figures:
            values[run.config_hash][run.block] = math.log(run.figures[figure])
    return values


def complete_cycles(values: Mapping[str, Mapping[Block, float]]) -> CompleteCycles:
    """Return the cycles in which every point of a part has the figure.

    Args:
        values: logarithms by point and block; every point has at least one.
    """
    tables = []
    for points in _parts(values):
        blocks = sorted(set.intersection(*(set(values[point]) for point in points)))
        rows = tuple(tuple(values[point][block] for point in points) for block in blocks)
        tables.append(Table(tuple(points), rows))
    return CompleteCycles(tuple(tables))


def _parts(values: Mapping[str, Mapping[Block, float]]) -> list[list[str]]:
    """Return the points in groups: two points that share the first number of a block are in one group."""
    groups: list[tuple[set[int], list[str]]] = []
    for point, runs in values.items():
        parts, points = {part for part, _ in runs}, [point]
        separate = []
        for group in groups:
            if parts & group[0]:
                parts |= group[0]
                points = [*group[1], *points]
            else:
                separate.append(group)
        groups = [*separate, (parts, points)]
    order = {point: position for position, point in enumerate(values)}
    return [sorted(points, key=order.__getitem__) for _, points in groups]
