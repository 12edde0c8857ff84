"""Figure 5: the runs in the order in which they ran."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import altair as alt

from llem_report._figures.figure import Chart, Figure
from llem_report._figures.highlight import (
    LABELS,
    parameter,
    point_labels,
    point_numbers,
    when_picked,
    with_labels,
)
from llem_report._figures.scales import MINUS, linear_ticks
from llem_report._figures.theme import TOTAL_WIDTH, Theme, Width
from llem_report.records import Analysis, RunEstimate

MAX_DOTS = 1500
"""More runs are drawn as one line of round dots, which has no tooltips but a tenth of the size."""
_MAX_NAMED = 8
"""Outliers whose number is written beside them."""
_HEIGHT = 190


def steadiness(analysis: Analysis) -> Figure | None:
    """Return each run beside its point; None if no run has a figure."""
    runs = sorted(
        (run for run in analysis.runs if run.ratio_to_point),
        key=lambda run: (run.started_at or "", run.index),
    )
    if not runs:
        return None
    numbers = point_numbers(analysis)
    rows = [_row(place, run, numbers[run.config_hash]) for place, run in enumerate(runs, 1)]
    outliers = [row for row in rows if row.get("outlier")]
    _name(outliers, last=len(rows), farthest=max(abs(row["percent"]) for row in rows))
    cycles = _cycles(runs)
    high = max(1.0, *(abs(row["percent"]) for row in rows)) * 1.12
    domain = [-high, high]

    def draw(theme: Theme, width: Width) -> Chart:
        return _chart(domain, theme, width, last=len(rows), many=len(rows) > MAX_DOTS)

    return Figure(
        name="steadiness",
        number=5,
        title="How steady the machine was",
        caption=(
            "Each run over the mean of its point, in the order in which the runs ran. Shades are "
            "cycles, lines their means: lines far from 0 show that whole cycles differ, which the "
            "comparison removes. Rings: outliers, which are listed below and never dropped."
        ),
        description=(
            f"{len(rows)} runs, the farthest {max(abs(row['percent']) for row in rows):.1f} % from "
            f"the mean of its point; {len(outliers)} outliers. Means of the cycles: "
            + ", ".join(f"{_signed(cycle['mean'])} %" for cycle in cycles)
        ),
        draw=draw,
        data={"runs": rows, "cycles": cycles, LABELS: point_labels(analysis)},
    )


def _row(place: int, run: RunEstimate, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "place": place,
        "run": run.index,
        "cycle": run.cycle,
        "p": number,
        "percent": 100 * ((run.ratio_to_point or 1) - 1),
    }
    if run.is_outlier:
        row["outlier"] = True
    if run.reasons:
        row["reasons"] = "; ".join(run.reasons)
    return row


def _name(outliers: list[dict[str, Any]], *, last: int, farthest: float) -> None:
    """Name the farthest outliers, and no two that are so close that their names would overlap."""
    named: list[dict[str, Any]] = []
    for row in sorted(outliers, key=lambda row: -abs(row["percent"])):
        is_free = all(
            abs(row["place"] - other["place"]) > 0.25 * last
            or abs(row["percent"] - other["percent"]) > 0.2 * farthest
            for other in named
        )
        row["side"] = -1 if row["place"] > 0.8 * last else 1
        row["name"] = f"run {row['run']}" if is_free and len(named) < _MAX_NAMED else ""
        if row["name"]:
            named.append(row)


def _signed(percent: float) -> str:
    sign = "+" if percent > 0 else MINUS if percent < 0 else ""
    return f"{sign}{abs(percent):.1f}"


def _cycles(runs: list[RunEstimate]) -> list[dict[str, Any]]:
    """Return where each cycle begins and ends, and its geometric mean.

    A cycle of which runs were repeated later has several parts.
    """
    cycles: list[dict[str, Any]] = []
    place = 0
    for cycle, group in groupby(runs, key=lambda run: run.cycle):
        logs = [math.log(run.ratio_to_point) for run in group if run.ratio_to_point]
        cycles.append(
            {
                "cycle": cycle,
                "from": place + 0.5,
                "to": place + len(logs) + 0.5,
                "mean": 100 * math.expm1(sum(logs) / len(logs)),
                "even": cycle % 2 == 0,
            }
        )
        place += len(logs)
    return cycles


def _chart(domain: list[float], theme: Theme, width: Width, *, last: int, many: bool) -> Chart:
    x_scale = alt.Scale(domain=[0, last + 1], nice=False)
    y_scale = alt.Scale(domain=domain, nice=False)
    ticks = linear_ticks(*domain, max_ticks=6)
    x = alt.X(
        "place:Q",
        scale=x_scale,
        axis=alt.Axis(title="runs in order of time", grid=False, tickMinStep=1, tickCount=6),
    )
    y = alt.Y(
        "percent:Q",
        scale=y_scale,
        axis=alt.Axis(
            values=list(ticks),
            title=None,
            labelExpr=f"(datum.value > 0 ? '+' : '') + replace(format(datum.value, '.3~r'), '-', '{MINUS}') + ' %'",
        ),
    )
    cycles = alt.Chart(alt.NamedData("cycles"))
    shade = cycles.mark_rect(color=theme.grid, opacity=0.55, aria=False).encode(
        x=alt.X("from:Q", scale=x_scale),
        x2="to:Q",
        opacity=alt.condition("datum.even", alt.value(0.55), alt.value(0)),
    )
    means = cycles.mark_rule(color=theme.ink, strokeWidth=1.5, aria=False).encode(
        x=alt.X("from:Q", scale=x_scale), x2="to:Q", y=alt.Y("mean:Q", scale=y_scale)
    )
    runs = with_labels(alt.Chart(alt.NamedData("runs")))
    tooltip = [
        alt.Tooltip("run:Q", title="run"),
        alt.Tooltip("cycle:Q", title="cycle"),
        alt.Tooltip("point:N", title="point"),
        alt.Tooltip("percent:Q", format="+.1f", title="% from the mean of its point"),
        alt.Tooltip("reasons:N", title="note"),
    ]
    if many:
        dots = (
            alt.Chart(alt.NamedData("runs"))
            .transform_calculate(dot="[datum.percent, datum.percent, null]")
            .transform_flatten(["dot"])
            .transform_window(i="row_number()")
            .mark_line(
                color=theme.colours[0],
                strokeWidth=3.5,
                strokeCap="round",
                opacity=0.6,
                aria=False,
                invalid="break-paths-filter-domains",
            )
            .encode(x=x, y=alt.Y("dot:Q"), order="i:Q")
        )
    else:
        dots = runs.mark_circle(size=18, color=theme.colours[0], aria=False).encode(
            x=x, y=y, opacity=when_picked(0.75), tooltip=tooltip
        )
    outliers = runs.transform_filter("datum.outlier")
    rings = outliers.mark_point(size=90, color=theme.bad, strokeWidth=1.8, opacity=1).encode(
        x=x, y=y, tooltip=tooltip
    )
    names = outliers.mark_text(
        color=theme.ink,
        align=alt.expr("datum.side < 0 ? 'right' : 'left'"),
        dx=alt.expr("datum.side * 9"),
        aria=False,
        baseline="middle",
    ).encode(x=x, y=y, text="name:N")
    return (
        alt.layer(shade, dots, means, rings, names)
        .properties(width=TOTAL_WIDTH[width] - 60, height=_HEIGHT)
        .add_params(parameter())
    )
