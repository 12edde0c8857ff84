"""Figure 2: the levels of each factor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from llem_report._figures.figure import Chart, Figure, below, beside
from llem_report._figures.names import short_names
from llem_report._figures.scales import LogAxis, log_axis, ratio_with_interval, tick_labels
from llem_report._figures.theme import TOTAL_WIDTH, Theme, Width
from llem_report.records import Analysis, FactorEffect

MAX_LINES = 60
"""Contexts that are drawn one by one; more become a band."""
_STEPS = (32, 60)
_HEIGHT = 150
_AXIS = 44
_GAP = 22
_MAX_TITLE = 150
_TITLE_CHARACTER = 7.0
"""Width of a character of a title, which is bold."""
_CHARACTER = 7.5
"""Width of a character of a label."""


def slices(analysis: Analysis) -> Figure | None:
    """Return one panel per factor; None if the study has no factor with levels."""
    factors = [factor for factor in analysis.factors if len(factor.levels) > 1]
    if not factors:
        return None
    levels = [
        _level(number, place, factor, level.level)
        for number, factor in enumerate(factors)
        for place, level in enumerate(factor.levels)
    ]
    contexts = [row for number, factor in enumerate(factors) for row in _contexts(number, factor)]
    values = [row[key] for row in levels for key in ("ratio", "low", "high")]
    values += [row.get(key) for row in contexts for key in ("ratio", "low", "high")]
    axis = log_axis(values, max_ticks=6)
    first_rows = [0, *itertools.accumulate(len(factor.levels) for factor in factors)]

    names = short_names(factor.key for factor in factors)

    def draw(theme: Theme, width: Width) -> Chart:
        step = _step(factors, names, width)
        lines: list[list[Chart]] = [[]]
        left = TOTAL_WIDTH[width]
        for number, factor in enumerate(factors):
            used = _panel_width(factor, names[factor.key], step) + _GAP
            if lines[-1] and used > left:
                lines.append([])
                left = TOTAL_WIDTH[width]
            is_first = not lines[-1]
            place = _Place(number, first_rows[number], step, names[factor.key], is_first)
            lines[-1].append(_panel(factor, place, axis, theme))
            left -= used + (_AXIS if is_first else 0)
        return below([beside(line, _GAP) for line in lines], spacing=18)

    better = "lower" if analysis.lower_is_better else "higher"
    return Figure(
        name="slices",
        number=2,
        title="Which level of each choice is best",
        caption=(
            f"Each level over the best level of its choice, everything else equal ({better} is "
            "better in the unit of the study). Whiskers are 95 % intervals, often shorter than the dot; "
            "the best level (hollow) is the reference and has none. Grey: the single combinations of the other choices; lines that "
            f"cross show that choices depend on each other (a band where there are more than {MAX_LINES})."
        ),
        description=". ".join(_described(factor) for factor in factors),
        draw=draw,
        data={"levels": levels, "contexts": contexts},
    )


def _level(number: int, place: int, factor: FactorEffect, name: str) -> dict[str, Any]:
    level = factor.levels[place]
    return {
        "f": number,
        "v": place,
        "factor": factor.key,
        "level": name,
        "ratio": level.ratio.ratio,
        "low": level.ratio.ci95_low,
        "high": level.ratio.ci95_high,
        "n_points": level.n_points,
        "shown": ratio_with_interval(
            level.ratio.ratio, level.ratio.ci95_low, level.ratio.ci95_high
        ),
        "is_best": name == factor.best,
    }


def _contexts(number: int, factor: FactorEffect) -> list[dict[str, Any]]:
    names = dict.fromkeys(context.context for level in factor.levels for context in level.contexts)
    if len(names) < 2:
        return []
    if len(names) > MAX_LINES:
        return [
            {
                "f": number,
                "v": place,
                "low": min(context.ratio for context in level.contexts),
                "high": max(context.ratio for context in level.contexts),
            }
            for place, level in enumerate(factor.levels)
            if level.contexts
        ]
    numbers = {name: i for i, name in enumerate(names)}
    return [
        {"f": number, "v": place, "c": numbers[context.context], "ratio": context.ratio}
        for place, level in enumerate(factor.levels)
        for context in level.contexts
    ]


def _described(factor: FactorEffect) -> str:
    levels = ", ".join(
        f"{level.level} {ratio_with_interval(level.ratio.ratio, None, None)}"
        for level in factor.levels
    )
    return f"{factor.key}: {levels}"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a panel is, and where its levels are in the data."""

    factor: int
    first_row: int
    step: int
    """Width of a level."""
    title: str
    is_first: bool
    """Of its row; it alone has labels on the axis."""


def _step(factors: Sequence[FactorEffect], names: dict[str, str], width: Width) -> int:
    """Return the width of a level with which all panels share one row, within limits."""
    room = TOTAL_WIDTH[width] - _AXIS - _GAP * len(factors)
    for step in range(_STEPS[1], _STEPS[0], -1):
        if sum(_panel_width(factor, names[factor.key], step) for factor in factors) <= room:
            return step
    return _STEPS[0]


def _panel_width(factor: FactorEffect, title: str, step: int) -> int:
    levels = step * max(len(factor.levels), 2)
    return max(levels, min(_MAX_TITLE, math.ceil(_TITLE_CHARACTER * len(title))))


def _panel(factor: FactorEffect, place: _Place, axis: LogAxis, theme: Theme) -> Chart:
    width = _panel_width(factor, place.title, place.step)
    turned = any(len(level.level) * _CHARACTER > place.step for level in factor.levels)
    # Places are on the axis, and names come from the data: no name becomes part of an expression.
    names = alt.Axis(
        labelExpr=f"data('levels')[{place.first_row} + datum.value].level",
        labelAngle=-35 if turned else 0,
        labelLimit=112 if turned else place.step,
        labelColor=theme.ink,
        title=None,
        grid=False,
    )
    x = alt.X("v:O", axis=names, scale=alt.Scale(paddingOuter=0.25))
    y_axis = alt.Axis(
        values=list(axis.ticks),
        labelExpr=tick_labels("\N{MULTIPLICATION SIGN}"),
        labels=place.is_first,
        title=None,
    )
    y = alt.Y(
        "ratio:Q",
        axis=y_axis,
        scale=alt.Scale(type="log", domain=axis.domain, nice=False),
    )
    here = f"datum.f === {place.factor}"
    contexts = alt.Chart(alt.NamedData("contexts")).transform_filter(here)
    levels = alt.Chart(alt.NamedData("levels")).transform_filter(here)
    lines = contexts.mark_line(color=theme.faint, strokeWidth=1, opacity=0.55, aria=False).encode(
        x=x, y=y, detail="c:N"
    )
    band = contexts.mark_area(color=theme.faint, opacity=0.35, aria=False).encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q"
    )
    n_contexts = len({context.context for level in factor.levels for context in level.contexts})
    marks: list[Chart] = [] if n_contexts < 2 else [band if n_contexts > MAX_LINES else lines]
    if factor.numeric:
        marks.append(
            levels.mark_line(color=theme.colours[0], strokeWidth=2, aria=False).encode(x=x, y=y)
        )
    whiskers = levels.mark_rule(color=theme.ink, strokeWidth=1.5, aria=False).encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q"
    )
    dots = levels.mark_circle(size=60, stroke=theme.colours[0], strokeWidth=2, opacity=1).encode(
        x=x,
        y=y,
        fill=alt.condition("datum.is_best", alt.value(theme.paper), alt.value(theme.colours[0])),
        tooltip=[
            alt.Tooltip("factor:N", title="choice"),
            alt.Tooltip("level:N", title="level"),
            alt.Tooltip("shown:N", title="over the best"),
            alt.Tooltip("n_points:Q", title="points"),
        ],
    )
    title = alt.TitleParams(place.title, frame="group", limit=width)
    return alt.layer(*marks, whiskers, dots).properties(width=width, height=_HEIGHT, title=title)
