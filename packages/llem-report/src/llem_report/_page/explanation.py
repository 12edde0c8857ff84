"""The table of what explains the points: shares of the device, and what limited each phase."""

from __future__ import annotations

from llem_report._figures.scales import number, percent
from llem_report._page.html import Cell, Column, table
from llem_report._page.tables import NONE, name
from llem_report.records import Analysis, PointEstimate, PointPhase

_PHASES = ("prefill", "decode")


def explanation(analysis: Analysis) -> str:
    """Return a section with one row per point; empty if nothing is known of any point."""
    if not any(point.phases for point in analysis.points):
        return ""
    columns = [
        Column("#", is_number=True),
        Column("point"),
        Column("J/output token", is_number=True),
        Column("time between tokens, 99 % quantile, s", is_number=True),
    ]
    for phase in _PHASES:
        columns += [
            Column(f"{phase}: mfu", is_number=True),
            Column(f"{phase}: mbu", is_number=True),
            Column(f"{phase} is bound by"),
        ]
    rows = [_row(place, point) for place, point in enumerate(analysis.points, 1)]
    return (
        "<section>\n<h2>What limited the points</h2>\n"
        "<p class=facts>Shares of what this device reaches, measured on it: mfu of matrix products in "
        "the same precision, mbu of its memory. Neither decides about a ranking.</p>\n"
        f"{table(columns, rows, name='explanation')}</section>\n"
    )


def _row(place: int, point: PointEstimate) -> list[Cell]:
    by_phase = {each.phase: each for each in point.phases}
    figures = (point.energy_per_output_token_j, point.inter_token_latency_p99_s)
    return [
        Cell(str(place), place),
        name(point.label),
        *(NONE if value is None else Cell(number(value), value) for value in figures),
        *(cell for phase in _PHASES for cell in _cells(by_phase.get(phase))),
    ]


def _cells(phase: PointPhase | None) -> list[Cell]:
    if phase is None:
        return [NONE] * 3
    shares = [
        NONE if share is None else Cell(percent(share), share) for share in (phase.mfu, phase.mbu)
    ]
    return [*shares, Cell(", ".join(phase.bound_by)) if phase.bound_by else NONE]
