"""The table of the figures besides those that points are compared by."""

from __future__ import annotations

from llem_report._figures.scales import number, percent
from llem_report._page.html import Cell, Column, table
from llem_report._page.tables import NONE, name
from llem_report._study_data.figures import FIGURES, FURTHER
from llem_report.records import Analysis, Estimate


def further_figures_table(analysis: Analysis) -> str:
    """Return one row per point with the figures that any point has; empty if there are none."""
    names = [each for each in FURTHER if any(each in point.figures for point in analysis.points)]
    has_share = any(point.power_limited_share is not None for point in analysis.points)
    if not names and not has_share:
        return ""
    columns = [
        Column("#", is_number=True),
        Column("point"),
        *(Column(_heading(each), is_number=True) for each in names),
        *([Column("time at the power limit", is_number=True)] if has_share else []),
    ]
    rows = []
    for place, point in enumerate(analysis.points, 1):
        row = [
            Cell(str(place), place),
            name(point.label),
            *(_estimate(point.figures.get(each)) for each in names),
        ]
        if has_share:
            share = point.power_limited_share
            row.append(NONE if share is None else Cell(percent(share), share))
        rows.append(row)
    return table(columns, rows, name="further figures")


def _heading(figure: str) -> str:
    info = FIGURES[figure].info
    return f"{info.title}, {info.unit.partition('/1000')[0]}"


def _estimate(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return NONE
    low, high = estimate.ci95_low, estimate.ci95_high
    interval = "" if low is None or high is None else f" ({number(low)}\N{EN DASH}{number(high)})"
    return Cell(f"{number(estimate.value)}{interval}", estimate.value)
