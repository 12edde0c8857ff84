"""Figure 7: the energy of prefill and of decode."""

from __future__ import annotations

from typing import Any

import altair as alt

from llem_config.text import shortened
from llem_report._figures.figure import Chart, Figure
from llem_report._figures.scales import LogAxis, log_axis, number, tick_labels
from llem_report._figures.theme import TOTAL_WIDTH, Theme, Width
from llem_report.records import Analysis, PointEstimate

MAX_POINTS = 30
_ROW = 20
_LABELS: dict[Width, int] = {"text": 330, "column": 150}
_MAX_LABEL = 200
PHASES = ("prefill, per input token", "decode, per output token")


def phases(analysis: Analysis) -> Figure | None:
    """Return two dots per point, best points first; None if no phase was measured."""
    points = [
        point
        for point in analysis.points
        if point.prefill_energy_per_token_j or point.decode_energy_per_token_j
    ]
    if not points:
        return None
    order = 1 if analysis.lower_is_better else -1
    points.sort(key=lambda point: order * (point.value or 0))
    drawn = points[:MAX_POINTS]
    numbers = {point.config_hash: i for i, point in enumerate(analysis.points, 1)}
    rows = [
        row for i, point in enumerate(drawn) for row in _rows(i, numbers[point.config_hash], point)
    ]
    names = [
        {"name": shortened(f"{numbers[point.config_hash]}: {_choices(point)}", _MAX_LABEL)}
        for point in drawn
    ]
    axis = log_axis([row["energy"] for row in rows])

    def draw(theme: Theme, width: Width) -> Chart:
        return _chart(axis, theme, width)

    more = f" The {MAX_POINTS} best of {len(points)} points." if len(drawn) < len(points) else ""
    return Figure(
        name="phases",
        number=7,
        title="Where the energy goes: prefill and decode",
        caption=(
            "Energy of reading one token of a prompt, and of generating one token, each measured in "
            f"a window of its own. Best points first, with their numbers in the table of points.{more}"
        ),
        description=". ".join(
            f"{row['phase']} of point {row['p']}: {row['shown']} J" for row in rows[:10]
        ),
        draw=draw,
        data={"phases": rows, "names": names},
    )


def _choices(point: PointEstimate) -> str:
    """Return the levels of a point, whose factors are those of the table of points."""
    return ", ".join(point.levels.values()) or point.label


def _rows(place: int, number_of_point: int, point: PointEstimate) -> list[dict[str, Any]]:
    values = (point.prefill_energy_per_token_j, point.decode_energy_per_token_j)
    return [
        {
            "i": place,
            "p": number_of_point,
            "point": point.label,
            "phase": phase,
            "energy": value,
            "shown": number(value),
        }
        for phase, value in zip(PHASES, values, strict=True)
        if value
    ]


def _chart(axis: LogAxis, theme: Theme, width: Width) -> Chart:
    label_width = _LABELS[width]
    base = alt.Chart(
        alt.NamedData("phases"),
        width=TOTAL_WIDTH[width] - label_width - 40,
        height=alt.Step(_ROW),
    )
    x = alt.X(
        "energy:Q",
        scale=alt.Scale(type="log", domain=axis.domain, nice=False),
        axis=alt.Axis(values=list(axis.ticks), labelExpr=tick_labels(), title="J/token"),
    )
    y = alt.Y(
        "i:O",
        title=None,
        axis=alt.Axis(
            labelExpr="data('names')[datum.value].name",
            labelLimit=label_width,
            labelColor=theme.ink,
            labelPadding=10,
        ),
    )
    line = base.mark_line(color=theme.faint, strokeWidth=1.5, aria=False).encode(
        x=x, y=y, detail="i:O"
    )
    colours = [theme.colours[0], theme.colours[5]]
    legend = alt.Legend(
        title=None,
        orient="top",
        direction="horizontal",
        columns=2 if width == "text" else 1,
        labelLimit=180,
        offset=12,
    )
    dots = base.mark_point(size=60, filled=True, opacity=1).encode(
        x=x,
        y=y,
        color=alt.Color(
            "phase:N", scale=alt.Scale(domain=list(PHASES), range=colours), legend=legend
        ),
        shape=alt.Shape(
            "phase:N",
            scale=alt.Scale(domain=list(PHASES), range=["circle", "square"]),
            legend=legend,
        ),
        tooltip=[
            alt.Tooltip("point:N", title="point"),
            alt.Tooltip("phase:N", title="phase"),
            alt.Tooltip("shown:N", title="J/token"),
        ],
    )
    # The data set of the names is used by an expression only, so a mark without rows refers to it.
    names = alt.Chart(alt.NamedData("names")).mark_point(opacity=0, size=0, aria=False)
    return alt.layer(line, dots, names.transform_filter("false"))
