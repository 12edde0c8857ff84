"""Figure 4: decisions that depend on another choice."""

from __future__ import annotations

import itertools
from typing import Any

import altair as alt

from llem_report._figures.figure import Chart, Figure
from llem_report._figures.names import short_names
from llem_report._figures.scales import LogAxis, log_axis, ratio_with_interval, tick_labels
from llem_report._figures.theme import TOTAL_WIDTH, Theme, Width
from llem_report.records import Analysis, Dependence

MAX_PANELS = 6
_HEIGHT = 140
_AXIS = 44
_GAP = 24
_COLUMNS: dict[Width, int] = {"text": 3, "column": 1}


def dependences(analysis: Analysis) -> Figure | None:
    """Return one panel per dependence, flips first; None if none was found."""
    found = analysis.dependences[:MAX_PANELS]
    if not found:
        return None
    names = short_names(factor.key for factor in analysis.factors)
    rows = [row for number, item in enumerate(found) for row in _rows(number, item)]
    firsts = [0, *itertools.accumulate(len(item.levels) for item in found)]
    axis = log_axis([1.0, *(row[key] for row in rows for key in ("ratio", "low", "high"))])
    shares = [
        {"choice": term.factors[0], "other": term.factors[-1], "share": term.share}
        for term in analysis.share_terms
    ]
    more = len(analysis.dependences) - len(found)

    def draw(theme: Theme, width: Width) -> Chart:
        panel_width = TOTAL_WIDTH[width] // _COLUMNS[width] - _GAP - _AXIS // _COLUMNS[width]
        panels = [
            _panel(
                number,
                firsts[number],
                item,
                names,
                axis,
                theme,
                panel_width,
                number % _COLUMNS[width] == 0,
            )
            for number, item in enumerate(found)
        ]
        lines = [panels[i : i + _COLUMNS[width]] for i in range(0, len(panels), _COLUMNS[width])]
        return alt.vconcat(*[alt.hconcat(*line, spacing=_GAP) for line in lines], spacing=18)

    return Figure(
        name="dependences",
        number=4,
        title="Which decisions depend on another choice",
        caption=(
            "The ratio of two levels of one choice at each level of another. Below the line the "
            "first level needs less, above it the second. Whiskers are 95 % intervals, wide enough to "
            "hold for all of these ratios at once."
            + (f" {more} more are in the table of the data." if more else "")
        ),
        description=". ".join(item.text for item in found),
        draw=draw,
        # Of this figure, a table on the page; a picture of it would repeat the numbers.
        data={"ratios": rows, **({"shares": shares} if shares else {})},
    )


def _rows(number: int, item: Dependence) -> list[dict[str, Any]]:
    return [
        {
            "d": number,
            "v": place,
            "choice": item.factor,
            "levels": f"{item.a} over {item.b}",
            "other": item.other,
            "level": level,
            "ratio": ratio.ratio,
            "low": ratio.ci95_low,
            "high": ratio.ci95_high,
            "shown": ratio_with_interval(ratio.ratio, ratio.ci95_low, ratio.ci95_high),
            "better": _better(ratio.ci95_low, ratio.ci95_high),
        }
        for place, (level, ratio) in enumerate(zip(item.levels, item.ratios, strict=True))
    ]


def _better(low: float | None, high: float | None) -> str:
    """Return on which side of 1 an interval is."""
    if low is None or high is None or low <= 1 <= high:
        return "neither"
    return "below" if high < 1 else "above"


def _panel(
    number: int,
    first_row: int,
    item: Dependence,
    names: dict[str, str],
    axis: LogAxis,
    theme: Theme,
    width: int,
    is_first: bool,
) -> Chart:
    here = alt.Chart(alt.NamedData("ratios")).transform_filter(f"datum.d === {number}")
    per_level = width / len(item.levels)
    turned = any(len(level) * 7.5 > per_level for level in item.levels)
    x = alt.X(
        "v:O",
        scale=alt.Scale(paddingOuter=0.2),
        axis=alt.Axis(
            labelExpr=f"data('ratios')[{first_row} + datum.value].level",
            labelAngle=-35 if turned else 0,
            labelLimit=90 if turned else per_level,
            labelColor=theme.ink,
            title=names.get(item.other, item.other),
            titleLimit=width,
            grid=False,
        ),
    )
    scale = alt.Scale(type="log", domain=axis.domain, nice=False)
    y = alt.Y(
        "ratio:Q",
        scale=scale,
        axis=alt.Axis(
            values=list(axis.ticks),
            labelExpr=tick_labels("\N{MULTIPLICATION SIGN}"),
            labels=is_first,
            title=None,
        ),
    )
    one = (
        here.mark_rule(color=theme.muted, strokeWidth=1, aria=False)
        .encode(y=alt.Y("one:Q", scale=scale))
        .transform_calculate(one="1")
    )
    line = here.mark_line(color=theme.faint, strokeWidth=1.5, aria=False).encode(x=x, y=y)
    colour = alt.Color(
        "better:N",
        scale=alt.Scale(
            domain=["below", "above", "neither"],
            range=[theme.colours[0], theme.colours[5], theme.muted],
        ),
        legend=None,
    )
    whiskers = here.mark_rule(strokeWidth=2, aria=False).encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour
    )
    dots = here.mark_circle(size=60, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        tooltip=[
            alt.Tooltip("levels:N", title="ratio of"),
            alt.Tooltip("level:N", title="at"),
            alt.Tooltip("shown:N", title="ratio"),
        ],
    )
    title = alt.TitleParams(
        names.get(item.factor, item.factor),
        subtitle=f"{item.a} over {item.b}",
        frame="group",
        limit=width,
        subtitlePadding=4,
    )
    return alt.layer(one, line, whiskers, dots).properties(width=width, height=_HEIGHT, title=title)
