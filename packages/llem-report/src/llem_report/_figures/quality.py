"""Figure 8: what happened to each run, and how large the error of its energy can be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

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
from llem_report._figures.scales import linear_ticks, number
from llem_report._figures.theme import TOTAL_WIDTH, Theme, Width
from llem_report.records import Analysis, RunEstimate

MAX_POINTS = 200
"""With more points, only those with a run that is not `ok` are drawn, up to this number."""
_CELL = 14
_BAR = 34
"""Height of the largest bar."""
_GAP = 6
State = Literal["ok", "flagged", "missing", "failed", "interrupted", "pending"]
_LETTERS = {
    "ok": "",
    "flagged": "f",
    "missing": "m",
    "failed": "x",
    "interrupted": "i",
    "pending": "p",
}


_LEGEND = f"datum.label === 'ok' ? 'ok' : ({_LETTERS})[datum.label] + ' ' + datum.label"
_IS_GREY = "datum.state === 'missing' || datum.state === 'pending'"
_LETTER = f"({_LETTERS})[datum.state]"


def quality(analysis: Analysis) -> Figure | None:
    """Return the grid of points and cycles; None if the study has no run."""
    if not analysis.runs:
        return None
    states = {run.index: state_of(run) for run in analysis.runs}
    flawed = {run.config_hash for run in analysis.runs if states[run.index] != "ok"}
    points = list(analysis.points)
    n_clean = 0
    if len(points) > MAX_POINTS:
        points = [point for point in points if point.config_hash in flawed]
        n_clean = len(analysis.points) - len(points)
        points = points[:MAX_POINTS]
    if not points:
        return None
    numbers = point_numbers(analysis)
    places = {point.config_hash: i for i, point in enumerate(points)}
    rows = [
        {
            "place": places[run.config_hash],
            "p": numbers[run.config_hash],
            "cycle": run.cycle,
            "run": run.index,
            "state": states[run.index],
            **({"reasons": "; ".join(run.reasons)} if run.reasons else {}),
        }
        for run in analysis.runs
        if run.config_hash in places
    ]
    bounds = _bounds(analysis.runs, places, numbers)
    shown = [state for state in _LETTERS if any(row["state"] == state for row in rows)]
    counts = {state: sum(s == state for s in states.values()) for state in _LETTERS}

    largest = max((row["bound"] for row in bounds), default=None)

    def draw(theme: Theme, width: Width) -> Chart:
        return _chart(len(points), analysis.n_cycles, shown, largest, theme, width)

    return Figure(
        name="quality",
        number=8,
        title="Which runs can be believed",
        caption=_caption(n_clean, len(points), len(analysis.points), bounds),
        description=", ".join(f"{n} runs {state}" for state, n in counts.items() if n)
        + ("" if largest is None else f"; errors of the energy of at most {_percent(largest)}"),
        draw=draw,
        data={"cells": rows, LABELS: point_labels(analysis)}
        | ({"bounds": bounds} if bounds else {}),
    )


def _bounds(
    runs: Sequence[RunEstimate], places: Mapping[str, int], numbers: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return the largest error bound of the runs of each point in percent; no row without one."""
    largest: dict[str, float] = {}
    for run in runs:
        share = run.energy_bound_share
        if share is not None and share >= 0 and run.config_hash in places:
            largest[run.config_hash] = max(share, largest.get(run.config_hash, 0.0))
    return [
        {"place": places[name], "p": numbers[name], "bound": 100 * share}
        for name, share in largest.items()
    ]


def _percent(bound: float) -> str:
    return f"{number(bound, 2)} %"


def state_of(run: RunEstimate) -> State:
    """Return what happened to a run."""
    if run.status in ("pending", "running"):
        return "pending"
    if run.status in ("failed", "interrupted"):
        return "failed" if run.status == "failed" else "interrupted"
    return run.quality


def _caption(n_clean: int, n_drawn: int, n_points: int, bounds: Sequence[Any]) -> str:
    text = "One cell per run: columns are points in the order of the study, rows are cycles."
    if n_clean:
        text += f" Without the {n_clean} points of which all runs are ok."
        if n_clean + n_drawn < n_points:
            text += f" The first {n_drawn} of the others."
    if bounds:
        text += (
            " Bars: the maximum error of the measured energy of a point, as a share of this energy; "
            "the largest of its runs."
        )
        if len(bounds) < n_drawn:
            text += " A point without a bar has no such bound."
    return text + " The table below gives the reason of each cell that is not ok."


def _chart(
    n_points: int,
    n_cycles: int,
    shown: list[str],
    largest: float | None,
    theme: Theme,
    width: Width,
) -> Chart:
    per_line = min(n_points, (TOTAL_WIDTH[width] - 60) // _CELL)
    n_lines = math.ceil(n_points / per_line)
    per_line = math.ceil(n_points / n_lines)  # lines of the same length
    colours = {
        "ok": theme.ok,
        "flagged": theme.colours[1],
        "missing": theme.faint,
        "failed": theme.colours[5],
        "interrupted": theme.colours[3],
        "pending": theme.grid,
    }
    colours = {state: colours[state] for state in shown}
    lines = []
    for first in range(0, n_points, per_line):
        n_here = min(per_line, n_points - first)
        line = _line(first, n_here, n_cycles, colours, theme)
        if largest is not None:
            line = below([line, _bars(first, n_here, largest, theme)], spacing=_GAP)
        lines.append(line)
    return {**below(lines, spacing=12), "params": [parameter().param.to_dict()]}


def _places(first: int, n_here: int) -> Any:
    """Return the axis of x of the points of a line."""
    domain = list(range(first, first + n_here))
    scale = alt.Scale(domain=domain, paddingInner=0.12)
    return alt.X("place:O", title=None, scale=scale, axis=None)


def _bars(first: int, n_here: int, largest: float, theme: Theme) -> Chart:
    """Return the error bounds below a line of cells."""
    top = 1.05 * (largest or 1.0)
    ticks = linear_ticks(0.0, top, max_ticks=3)
    y = alt.Y(
        "bound:Q",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=alt.Axis(
            values=list(ticks),
            labelExpr="format(datum.value, '.2~r') + ' %'",
            title=None,
        ),
    )
    base = with_labels(alt.Chart(alt.NamedData("bounds"))).transform_filter(
        f"datum.place >= {first} && datum.place < {first + n_here}"
    )
    x = _places(first, n_here)
    bars = base.mark_bar(color=theme.faint, aria=False).encode(
        x=x,
        y=y,
        opacity=when_picked(),
        tooltip=[
            alt.Tooltip("point:N", title="point"),
            alt.Tooltip("bound:Q", format=",.2~r", title="maximum error, %"),
        ],
    )
    # A bound of 0 is a line, where a point without a bound has nothing.
    ends = base.mark_tick(color=theme.muted, thickness=1.2, aria=False).encode(x=x, y=y)
    chart = alt.layer(bars, ends).properties(width=n_here * _CELL, height=_BAR)
    if first:
        return chart
    heading = alt.TitleParams(
        "maximum error of the energy",
        frame="group",
        fontWeight="normal",
        color=theme.muted,
        offset=4,
    )
    return chart.properties(title=heading)


def _line(first: int, n_here: int, n_cycles: int, colours: dict[str, str], theme: Theme) -> Chart:
    base = with_labels(alt.Chart(alt.NamedData("cells"))).transform_filter(
        f"datum.place >= {first} && datum.place < {first + n_here}"
    )
    x = _places(first, n_here)
    y = alt.Y(
        "cycle:O",
        title=None,
        scale=alt.Scale(domain=list(range(1, n_cycles + 1)), paddingInner=0.12),
        axis=alt.Axis(labelExpr="'cycle ' + datum.label", grid=False),
    )
    cells = base.mark_rect(aria=False).encode(
        x=x,
        y=y,
        fill=alt.Fill(
            "state:N",
            scale=alt.Scale(domain=list(colours), range=list(colours.values())),
            legend=alt.Legend(
                title=None, orient="top", symbolType="square", columns=6, labelExpr=_LEGEND
            ),
        ),
        opacity=when_picked(1),
        tooltip=[
            alt.Tooltip("run:Q", title="run"),
            alt.Tooltip("point:N", title="point"),
            alt.Tooltip("cycle:Q", title="cycle"),
            alt.Tooltip("state:N", title="state"),
            alt.Tooltip("reasons:N", title="why"),
        ],
    )
    letters = (
        base.transform_filter("datum.state !== 'ok'")
        .transform_calculate(letter=_LETTER)
        .mark_text(fontSize=11, aria=False, baseline="middle")
        .encode(
            x=x,
            y=y,
            text="letter:N",
            color=alt.condition(_IS_GREY, alt.value(theme.ink), alt.value(theme.on_colour)),
        )
    )
    return alt.layer(cells, letters).properties(width=n_here * _CELL, height=n_cycles * _CELL)
