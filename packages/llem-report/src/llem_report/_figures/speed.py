"""Figure 3: energy against speed, and against the time to the first token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from llem_report._figures.against import FIRST_TOKEN, SPEED, Against, Position
from llem_report._figures.figure import Chart, Figure
from llem_report._figures.highlight import (
    LABELS,
    parameter,
    point_labels,
    point_numbers,
    when_picked,
    with_labels,
)
from llem_report._figures.names import short_names
from llem_report._figures.scales import LogAxis, log_axis, number, tick_labels
from llem_report._figures.theme import N_COLOURS, SHAPES, TOTAL_WIDTH, Theme, Width
from llem_report.records import Analysis, FactorEffect, PointEstimate

MAX_POINTS = 2000
"""More would hide each other; then the front and the best points are drawn."""
_BEST = 500
_MAX_SINGLE = 100
"""More points are drawn in the order of their colours: neighbours of one colour become one path."""
_LEGEND = 130


def speed(analysis: Analysis) -> Figure | None:
    """Return energy against tokens per second; None if no point has both."""
    return _figure(analysis, SPEED)


def first_token(analysis: Analysis) -> Figure | None:
    """Return energy against the time to the first token; None if no point has both."""
    return _figure(analysis, FIRST_TOKEN)


def _figure(analysis: Analysis, against: Against) -> Figure | None:
    points = [
        (point, position)
        for point in analysis.points
        if point.energy_per_output_token_j and (position := against.read(point)) is not None
    ]
    if not points:
        return None
    n_points = len(points)
    if n_points > MAX_POINTS:
        points = _best(points)
    shown = _shown(analysis)
    numbers = point_numbers(analysis)
    rows = [
        _row(point, position, against.field, analysis, numbers[point.config_hash], shown)
        for point, position in points
    ]
    if n_points > _MAX_SINGLE:
        rows.sort(key=lambda row: (str(row["c"]), str(row["s"])))
    front = [row for row in rows if "front" in row]
    front.sort(key=lambda row: float(row[against.field]))
    labels = point_labels(analysis)
    names = [labels[row["p"] - 1]["point"] for row in front]
    ends = (against.field, f"{against.field}_low", f"{against.field}_high")
    x_axis = log_axis([row[key] for row in rows for key in ends])
    y_axis = log_axis([row[key] for row in rows for key in ("energy", "low", "high")])

    def draw(theme: Theme, width: Width) -> Chart:
        return _chart(against, x_axis, y_axis, shown, theme, width)

    return Figure(
        name=against.name,
        number=3,
        title=against.title,
        caption=f"{against.better} {_caption(names, n_points, len(points))}",
        description=(
            f"{n_points} points from {number(x_axis.low)} to {number(x_axis.high)} "
            f"{against.axis.rpartition(', ')[2]} and "
            f"from {number(y_axis.low)} to {number(y_axis.high)} J/token; "
            f"{len(front)} on the front: {'; '.join(names[:5])}"
        ),
        draw=draw,
        data={"points": rows, LABELS: labels},
    )


def _best(
    points: Sequence[tuple[PointEstimate, Position]],
) -> list[tuple[PointEstimate, Position]]:
    order = sorted(points, key=lambda each: each[0].energy_per_output_token_j or 0)
    kept = {point.config_hash for point, _ in order[:_BEST]}
    return [
        (point, position)
        for point, position in points
        if position.front is not None or point.config_hash in kept
    ]


@dataclass(frozen=True, slots=True)
class _Shown:
    """The factors that colour and shape show."""

    colour: FactorEffect | None
    shape: FactorEffect | None
    names: dict[str, str]
    """Short, by key."""

    @property
    def has_legend(self) -> bool:
        return self.colour is not None or self.shape is not None


def _shown(analysis: Analysis) -> _Shown:
    """Return the strongest factor that colours can show, and the next that shapes can."""
    factors = [factor for factor in analysis.factors if len(factor.levels) > 1]
    colour = next((factor for factor in factors if len(factor.levels) <= N_COLOURS), None)
    others = (factor for factor in factors if factor is not colour)
    shape = next((factor for factor in others if len(factor.levels) <= len(SHAPES)), None)
    return _Shown(colour, shape, short_names(factor.key for factor in analysis.factors))


def _row(
    point: PointEstimate,
    position: Position,
    field: str,
    analysis: Analysis,
    number: int,
    shown: _Shown,
) -> dict[str, Any]:
    is_merit = analysis.figure == "energy_per_output_token_j"
    row = {
        "p": number,
        "energy": point.energy_per_output_token_j,
        "low": point.ci95_low if is_merit else None,
        "high": point.ci95_high if is_merit else None,
        field: position.value,
        f"{field}_low": position.low,
        f"{field}_high": position.high,
        "c": point.levels.get(shown.colour.key) if shown.colour else None,
        "s": point.levels.get(shown.shape.key) if shown.shape else None,
    }
    if position.front is not None:
        row["front"] = position.front
    return row


def _caption(front: Sequence[str], n_points: int, n_drawn: int) -> str:
    text = (
        "Whiskers are 95 % intervals. "
        "The line joins the points that no other beats in both; a ring marks those for which that "
        "holds with the intervals apart."
    )
    if len(front) == 1:
        text += f" One point is best in both: {front[0]}."
    if n_drawn < n_points:
        text += f" The front and the {_BEST} best of {n_points} points are drawn."
    return text


def _chart(
    against: Against,
    x_axis: LogAxis,
    y_axis: LogAxis,
    shown: _Shown,
    theme: Theme,
    size: Width,
) -> Chart:
    field = against.field
    wide = size == "text"
    plot_width = TOTAL_WIDTH[size] - 60 - (_LEGEND if wide and shown.has_legend else 0)
    x = alt.X(
        f"{field}:Q",
        scale=alt.Scale(type="log", domain=x_axis.domain, nice=False),
        axis=alt.Axis(
            values=list(x_axis.ticks), labelExpr=tick_labels(), title=against.axis, labelFlush=False
        ),
    )
    y = alt.Y(
        "energy:Q",
        scale=alt.Scale(type="log", domain=y_axis.domain, nice=False),
        axis=alt.Axis(
            values=list(y_axis.ticks),
            labelExpr=tick_labels(),
            title="J/token",
            titleAngle=0,
            titleAlign="left",
            titleAnchor="start",
            titleX=-38,
            titleY=-14,
        ),
    )
    # All whiskers are one path: a tenth of the size of one mark each.
    whiskers = (
        alt.Chart(alt.NamedData("points"))
        .transform_calculate(
            xs=f"[datum.{field}, datum.{field}, null, datum.{field}_low, datum.{field}_high, null]",
            ys="[datum.low, datum.high, null, datum.energy, datum.energy, null]",
        )
        .transform_flatten(["xs", "ys"])
        .transform_window(i="row_number()")
        .mark_line(
            color=theme.faint, strokeWidth=1, aria=False, invalid="break-paths-filter-domains"
        )
        .encode(x=alt.X("xs:Q"), y=alt.Y("ys:Q"), order="i:Q")
    )
    front = (
        alt.Chart(alt.NamedData("points"))
        .transform_filter("datum.front")
        .mark_line(color=theme.ink, strokeWidth=1, strokeDash=[4, 3], aria=False)
        .encode(x=x, y=y, order=f"{field}:Q")
    )
    dots = (
        with_labels(alt.Chart(alt.NamedData("points")))
        .mark_point(size=44, filled=True, stroke=theme.ink, aria=False)
        .encode(
            x=x,
            y=y,
            fill=_colour(shown, theme, size),
            shape=_shape(shown, theme, size),
            strokeWidth=alt.condition("datum.front === 'certain'", alt.value(2), alt.value(0)),
            opacity=when_picked(0.9),
            tooltip=[
                alt.Tooltip("point:N", title="point"),
                alt.Tooltip("energy:Q", format=",.3~r", title="J/token"),
                alt.Tooltip(f"{field}:Q", format=",.4~r", title=against.axis),
                alt.Tooltip("front:N", title="front"),
            ],
        )
    )
    return (
        alt.layer(whiskers, front, dots)
        .properties(width=plot_width, height=360 if wide else 260)
        .add_params(parameter())
    )


def _colour(shown: _Shown, theme: Theme, size: Width) -> Any:
    if shown.colour is None:
        return alt.value(theme.colours[0])
    names = [level.level for level in shown.colour.levels]
    legend = _legend(shown.names[shown.colour.key], size, "top", symbolStrokeWidth=0)
    return alt.Fill(
        "c:N", scale=alt.Scale(domain=names, range=list(theme.colours[: len(names)])), legend=legend
    )


def _shape(shown: _Shown, theme: Theme, size: Width) -> Any:
    if shown.shape is None:
        return alt.value(SHAPES[0])
    names = [level.level for level in shown.shape.levels]
    legend = _legend(
        shown.names[shown.shape.key],
        size,
        "bottom",
        symbolStrokeWidth=0,
        symbolFillColor=theme.muted,
    )
    return alt.Shape(
        "s:N", scale=alt.Scale(domain=names, range=list(SHAPES[: len(names)])), legend=legend
    )


def _legend(title: str, size: Width, narrow: Literal["top", "bottom"], **more: Any) -> alt.Legend:
    if size == "text":
        return alt.Legend(
            title=title,
            orient="right",
            offset=16,
            titleLimit=_LEGEND - 20,
            labelLimit=_LEGEND - 40,
            symbolSize=70,
            **more,
        )
    return alt.Legend(
        title=title,
        orient=narrow,
        columns=3,
        labelLimit=80,
        titleLimit=200,
        symbolSize=60,
        offset=26,
        **more,
    )
