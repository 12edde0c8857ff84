"""Figure 1: which choices matter most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from llem_report._figures.figure import Chart, Figure
from llem_report._figures.names import short_names
from llem_report._figures.scales import (
    LogAxis,
    log_axis,
    percent,
    ratio_with_interval,
    tick_labels,
)
from llem_report._figures.theme import TOTAL_WIDTH, Theme, Width
from llem_report.records import Analysis, FactorEffect

_ROW = 30
_SHARES = 100
_MAX_LEVELS = 190
_SPACING = 12
_MARGIN = 10
"""The padding of the figure, and that of the labels."""
_CHARACTER = 6.0
"""Mean width of a character of 12 units."""
_LABELS: dict[Width, int] = {"text": 140, "column": 96}


def effects(analysis: Analysis) -> Figure | None:
    """Return the ranking of the factors; None if the study has no factor."""
    factors = analysis.factors
    if not factors:
        return None
    names = short_names(factor.key for factor in factors)
    rows = [_row(i, factor, names[factor.key], analysis) for i, factor in enumerate(factors)]
    has_shares = any(factor.share is not None for factor in factors)
    # A study that cannot be ranked says so above all figures.
    why_no_shares = None if analysis.reason else analysis.shares_reason
    has_ranks = any(factor.rank_low is not None for factor in factors)
    axis = log_axis(
        [value for row in rows for value in (row["ratio"], row["high"])], start=1.0, max_ticks=4
    )

    over = "worst over best" if analysis.lower_is_better else "best over worst"

    def draw(theme: Theme, width: Width) -> Chart:
        wide = width == "text"
        label_width = _width_of([row["name"] for row in rows], _LABELS[width])
        columns = [_text("shown", "95 % interval", 124 if wide else 118, theme, theme.ink)]
        if wide:
            levels_width = _width_of([row["levels"] for row in rows], _MAX_LEVELS)
            columns.append(_text("levels", over, levels_width, theme, theme.muted))
        if has_shares and wide:
            columns.append(_shares(theme))
        ranks = [_text("rank", "rank", 30, theme, theme.muted)] if has_ranks else []
        others = [*ranks, *columns]
        taken = sum(chart.width for chart in others) + _SPACING * len(others) + label_width
        plot = _plot(axis, TOTAL_WIDTH[width] - taken - _MARGIN, over, theme, width)
        return alt.hconcat(*ranks, plot, *columns, spacing=_SPACING).resolve_scale(y="shared")

    return Figure(
        name="effects",
        number=1,
        title="Which choices matter most",
        caption=(
            f"Ratio of the {over.replace(' over ', ' level to the ')}, everything else equal, in "
            f"{analysis.unit}. "
            "Whiskers are 95 % intervals, often shorter than the dot; they hold for all choices at once. Filled: the choice "
            "matters. Hollow: no effect was found."
            + (" Rank: the places that a choice can have." if has_ranks else "")
            + (" Share: part of the variance between points." if has_shares else "")
            + (f" The shares are not known: {why_no_shares}." if why_no_shares else "")
        ),
        description=". ".join(f"{row['factor']}: {row['shown']} {row['levels']}" for row in rows),
        draw=draw,
        data={"effects": rows},
    )


def _row(place: int, factor: FactorEffect, name: str, analysis: Analysis) -> dict[str, Any]:
    effect = factor.effect
    return {
        "i": place,
        "factor": factor.key,
        "name": name,
        "ratio": effect.ratio if effect else None,
        "low": effect.ci95_low if effect else None,
        "high": effect.ci95_high if effect else None,
        "best": factor.best,
        "worst": factor.worst,
        "rank": "\N{EN DASH}".join(map(str, factor.ranks)),
        "share": factor.share,
        "share_text": percent(factor.share) if factor.share is not None else "",
        "verdict": factor.verdict.replace("_", " "),
        "matters": factor.verdict == "matters",
        "shown": _shown(factor),
        "levels": _levels(factor, lower_is_better=analysis.lower_is_better),
    }


def _width_of(texts: Sequence[str], limit: int) -> int:
    """Return the width of the longest text, about, up to a limit."""
    return min(limit, max(80, math.ceil(_CHARACTER * max(map(len, texts)))))


def _shown(factor: FactorEffect) -> str:
    effect = factor.effect
    if effect is None:
        return "cannot be told"
    return ratio_with_interval(effect.ratio, effect.ci95_low, effect.ci95_high)


def _levels(factor: FactorEffect, *, lower_is_better: bool) -> str:
    if factor.verdict == "no_effect_found":
        return "no effect found"
    if factor.effect is None or not (factor.worst and factor.best):
        return factor.reason or ""
    if lower_is_better:
        return f"{factor.worst} over {factor.best}"
    return f"{factor.best} over {factor.worst}"


def _plot(axis: LogAxis, width: int, over: str, theme: Theme, size: Width) -> Chart:
    base = alt.Chart(alt.NamedData("effects"), width=width, height=alt.Step(_ROW))
    x = alt.X(
        "ratio:Q",
        scale=alt.Scale(type="log", domain=axis.domain, nice=False),
        axis=alt.Axis(
            values=list(axis.ticks),
            labelExpr=tick_labels("\N{MULTIPLICATION SIGN}"),
            title=None,
            labelFlush=False,
        ),
    )
    y = alt.Y(
        "i:O",
        title=None,
        # Names come from the data: no name becomes part of an expression.
        axis=alt.Axis(
            labelExpr="data('effects')[datum.value].name",
            labelLimit=_LABELS[size],
            labelColor=theme.ink,
            labelPadding=10,
        ),
    )
    stem = base.mark_rule(color=theme.faint, strokeWidth=1.5, aria=False).encode(
        x=x, x2=alt.datum(1), y=y
    )
    whisker = base.mark_rule(color=theme.ink, strokeWidth=1.5, aria=False).encode(
        x=alt.X("low:Q"), x2="high:Q", y=y
    )
    dot = base.mark_circle(size=60, opacity=1, stroke=theme.colours[0], strokeWidth=2).encode(
        x=x,
        y=y,
        fill=alt.condition("datum.matters", alt.value(theme.colours[0]), alt.value(theme.paper)),
        tooltip=[
            alt.Tooltip("factor:N", title="choice"),
            alt.Tooltip("shown:N", title=over),
            alt.Tooltip("levels:N", title="levels"),
            alt.Tooltip("rank:N", title="rank"),
            alt.Tooltip("share_text:N", title="share of variance"),
        ],
    )
    return alt.layer(stem, whisker, dot)


def _text(field: str, heading: str, width: int, theme: Theme, colour: str) -> Chart:
    return (
        alt.Chart(
            alt.NamedData("effects"),
            width=width,
            height=alt.Step(_ROW),
            title=_heading(heading, theme),
        )
        .mark_text(align="left", color=colour, limit=width, aria=False)
        .encode(x=alt.value(0), y=alt.Y("i:O", axis=None), text=f"{field}:N")
    )


def _shares(theme: Theme) -> Chart:
    base = alt.Chart(
        alt.NamedData("effects"),
        width=_SHARES,
        height=alt.Step(_ROW),
        title=_heading("share of variance", theme),
    )
    y = alt.Y("i:O", axis=None)
    # The text of a bar over the whole width stays inside the figure.
    x = alt.X("share:Q", scale=alt.Scale(domain=[0, 1.6], clamp=True), axis=None)
    bars = base.mark_bar(color=theme.faint, height=10, aria=False).encode(x=x, y=y)
    texts = base.mark_text(align="left", dx=5, color=theme.muted, aria=False).encode(
        x=x, y=y, text="share_text:N"
    )
    return alt.layer(bars, texts)


def _heading(text: str, theme: Theme) -> alt.TitleParams:
    return alt.TitleParams(text, fontWeight="normal", color=theme.muted)
