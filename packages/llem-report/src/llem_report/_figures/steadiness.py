"""Figure 5: the runs in the order in which they ran, and how warm the GPU was before each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import altair as alt

from llem_report._figures.figure import Chart, Figure, below
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
_TEMPERATURES = 70
_MIN_SPAN_C = 6.0
"""A smaller range of temperatures does not fill the panel, so that noise does not look like drift."""
_TEMPERATURE_CAPTION = (
    " Below: the temperature of the GPU just before each run, of the hottest one if several were "
    "metered."
)


def _elsewhere(analysis: Analysis) -> str:
    """Return how many runs are not drawn because of their machine, if there are any."""
    n = sum(run.other_machine is not None and not run.ratio_to_point for run in analysis.runs)
    if not n:
        return ""
    runs = "1 run" if n == 1 else f"{n} runs"
    return f" Not drawn: {runs} on another kind of machine than most."


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
    temperatures_c = [row["gpu_c"] for row in rows if "gpu_c" in row]

    def draw(theme: Theme, width: Width) -> Chart:
        many = len(rows) > MAX_DOTS
        panels = [
            _chart(domain, theme, width, last=len(rows), many=many, is_last=not temperatures_c)
        ]
        if temperatures_c:
            panels.append(_temperatures(temperatures_c, theme, width, last=len(rows), many=many))
        return {**below(panels, spacing=14), "params": [parameter().param.to_dict()]}

    return Figure(
        name="steadiness",
        number=5,
        title="How steady the machine was",
        caption=(
            "Each run over the mean of its point, in the order in which the runs ran. Shades are "
            "cycles, lines their means: lines far from 0 show that whole cycles differ, which the "
            "comparison removes. Rings: outliers, which are listed below and never dropped."
            + _elsewhere(analysis)
            + (_TEMPERATURE_CAPTION if temperatures_c else "")
        ),
        description=(
            f"{len(rows)} runs, the farthest {max(abs(row['percent']) for row in rows):.1f} % from "
            f"the mean of its point; {len(outliers)} outliers. Means of the cycles: "
            + ", ".join(f"{_signed(cycle['mean'])} %" for cycle in cycles)
            + (
                f". GPU before the runs: {min(temperatures_c):.0f} to {max(temperatures_c):.0f} "
                "\N{DEGREE SIGN}C"
                if temperatures_c
                else ""
            )
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
    if run.gpu_temperature_c is not None:
        row["gpu_c"] = run.gpu_temperature_c
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


def _chart(
    domain: list[float], theme: Theme, width: Width, *, last: int, many: bool, is_last: bool
) -> Chart:
    """Return the panel of the runs beside their points."""
    x, x_scale, shade = _time(theme, last, has_labels=is_last)
    y_scale = alt.Scale(domain=domain, nice=False)
    y = alt.Y(
        "percent:Q",
        scale=y_scale,
        axis=alt.Axis(
            values=list(linear_ticks(*domain, max_ticks=6)),
            title=None,
            labelExpr=f"(datum.value > 0 ? '+' : '') + replace(format(datum.value, '.3~r'), '-', '{MINUS}') + ' %'",
        ),
    )
    means = (
        alt.Chart(alt.NamedData("cycles"))
        .mark_rule(color=theme.ink, strokeWidth=1.5, aria=False)
        .encode(x=alt.X("from:Q", scale=x_scale), x2="to:Q", y=alt.Y("mean:Q", scale=y_scale))
    )
    tooltip = [
        alt.Tooltip("run:Q", title="run"),
        alt.Tooltip("cycle:Q", title="cycle"),
        alt.Tooltip("point:N", title="point"),
        alt.Tooltip("percent:Q", format="+.1f", title="% from the mean of its point"),
        alt.Tooltip("reasons:N", title="note"),
    ]
    dots = _dots("percent", x, y, theme.colours[0], tooltip, many=many)
    outliers = with_labels(alt.Chart(alt.NamedData("runs"))).transform_filter("datum.outlier")
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
    return alt.layer(shade, dots, means, rings, names).properties(
        width=TOTAL_WIDTH[width] - 60, height=_HEIGHT
    )


def _temperatures(
    values_c: Sequence[float], theme: Theme, width: Width, *, last: int, many: bool
) -> Chart:
    """Return the panel of the temperatures before the runs."""
    x, _, shade = _time(theme, last, has_labels=True)
    centre, span = (min(values_c) + max(values_c)) / 2, max(values_c) - min(values_c)
    half = 0.56 * max(span, _MIN_SPAN_C)
    domain = [centre - half, centre + half]
    y = alt.Y(
        "gpu_c:Q",
        scale=alt.Scale(domain=domain, nice=False, zero=False),
        axis=alt.Axis(
            values=list(linear_ticks(*domain, max_ticks=4)),
            title=None,
            labelExpr="format(datum.value, '.3~r') + ' \N{DEGREE SIGN}C'",
        ),
    )
    tooltip = [
        alt.Tooltip("run:Q", title="run"),
        alt.Tooltip("point:N", title="point"),
        alt.Tooltip("gpu_c:Q", format=".3~r", title="\N{DEGREE SIGN}C before the run"),
    ]
    dots = _dots("gpu_c", x, y, theme.colours[5], tooltip, many=many)
    title = alt.TitleParams(
        "GPU before the run", fontWeight="normal", color=theme.muted, frame="group", offset=4
    )
    return alt.layer(shade, dots).properties(
        width=TOTAL_WIDTH[width] - 60, height=_TEMPERATURES, title=title
    )


def _time(theme: Theme, last: int, *, has_labels: bool) -> tuple[Any, alt.Scale, Chart]:
    """Return the axis of the runs in order of time, its scale, and the shades of the cycles."""
    scale = alt.Scale(domain=[0, last + 1], nice=False)
    axis = alt.Axis(
        title="runs in order of time" if has_labels else None,
        labels=has_labels,
        grid=False,
        tickMinStep=1,
        tickCount=6,
    )
    shade = (
        alt.Chart(alt.NamedData("cycles"))
        .mark_rect(color=theme.grid, aria=False)
        .encode(
            x=alt.X("from:Q", scale=scale),
            x2="to:Q",
            opacity=alt.condition("datum.even", alt.value(0.55), alt.value(0)),
        )
    )
    return alt.X("place:Q", scale=scale, axis=axis), scale, shade


def _dots(
    field: str, x: Any, y: Any, colour: str, tooltip: list[alt.Tooltip], *, many: bool
) -> Chart:
    """Return a dot for each run that has the field."""
    if not many:
        return (
            with_labels(alt.Chart(alt.NamedData("runs")))
            .mark_circle(size=18, color=colour, aria=False)
            .encode(x=x, y=y, opacity=when_picked(0.75), tooltip=tooltip)
        )
    return (
        alt.Chart(alt.NamedData("runs"))
        .transform_filter(f"isValid(datum.{field})")
        .transform_calculate(dot=f"[datum.{field}, datum.{field}, null]")
        .transform_flatten(["dot"], [field])
        .transform_window(i="row_number()")
        .mark_line(
            color=colour,
            strokeWidth=3.5,
            strokeCap="round",
            opacity=0.6,
            aria=False,
            invalid="break-paths-filter-domains",
        )
        .encode(x=x, y=y, order="i:Q")
    )
