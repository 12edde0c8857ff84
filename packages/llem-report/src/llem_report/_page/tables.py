"""The tables of points, choices and dependences."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config.text import shortened
from llem_report._figures.names import short_names
from llem_report._figures.scales import number, percent, ratio, ratio_with_interval
from llem_report._page.html import Cell, Column, table
from llem_report.records import Analysis, FactorEffect, Interval, PointEstimate

MAX_NAME = 60
NONE = Cell("\N{EN DASH}")


def points_table(analysis: Analysis) -> str:
    """Return all points with their figures; the number of a point is used in the other tables."""
    names = short_names(factor.key for factor in analysis.factors)
    keys = list(names) or sorted({key for point in analysis.points for key in point.levels})
    numeric = {factor.key for factor in analysis.factors if factor.numeric}
    is_energy = analysis.figure == "energy_per_output_token_j"
    has_first = any(point.time_to_first_token_s is not None for point in analysis.points)
    has_energy = not is_energy and any(
        point.energy_per_output_token_j is not None for point in analysis.points
    )
    has_answers = any(
        point.quality and (point.quality.nll_ratio_to_best or point.quality.is_worse)
        for point in analysis.points
    )
    has_front = any(point.on_front for point in analysis.points)
    columns = [
        Column("#", is_number=True),
        *(
            [
                Column(shortened(names.get(key, key), MAX_NAME), is_number=key in numeric)
                for key in keys
            ]
            or [Column("point")]
        ),
        Column(analysis.unit, is_number=True),
        Column("95 % interval", is_number=True),
        Column("over the best", is_number=True),
        *([Column("J/token", is_number=True)] if has_energy else []),
        *([Column("tokens/s", is_number=True)] if is_energy else []),
        *([Column("first token, ms", is_number=True)] if has_first else []),
        Column("runs", is_number=True),
        *([Column("answers")] if has_answers else []),
        *([Column("front")] if has_front else []),
    ]
    rows = []
    for place, point in enumerate(analysis.points, 1):
        row = [
            Cell(str(place), place),
            *([_level(point, key) for key in keys] or [name(point.label)]),
            *_figure_cells(point),
        ]
        if has_energy:
            row.append(number_cell(point.energy_per_output_token_j))
        if is_energy:
            row.append(number_cell(point.tokens_per_second))
        if has_first:
            first_s = point.time_to_first_token_s
            row.append(NONE if first_s is None else number_cell(1000 * first_s))
        row.append(_runs(point))
        if has_answers:
            row.append(_answers(point))
        if has_front:
            row.append(Cell(_front(point)))
        rows.append(row)
    return table(columns, rows, name="points")


def name(content: str | None) -> Cell:
    """Return the cell of a name, which is shortened in the middle if it is long."""
    return NONE if content is None else Cell(shortened(content, MAX_NAME))


def _level(point: PointEstimate, key: str) -> Cell:
    level = point.levels.get(key)
    if level is None:
        return NONE
    try:
        return Cell(level, float(level))
    except ValueError:
        return name(level)


def _figure_cells(point: PointEstimate) -> list[Cell]:
    interval = (
        NONE
        if point.ci95_low is None or point.ci95_high is None
        else Cell(f"{number(point.ci95_low)}\N{EN DASH}{number(point.ci95_high)}", point.ci95_low)
    )
    over = point.ratio_to_best
    return [number_cell(point.value), interval, NONE if over is None else _interval(over)]


def number_cell(value: float | None) -> Cell:
    return NONE if value is None else Cell(number(value), value)


def _interval(over: Interval) -> Cell:
    return Cell(ratio_with_interval(over.ratio, over.ci95_low, over.ci95_high), over.ratio)


def _runs(point: PointEstimate) -> Cell:
    shown = f"{point.n_runs} of {point.n_planned}"
    flagged = f", {point.n_flagged} flagged" if point.n_flagged else ""
    n_others = point.n_other_machine
    elsewhere = f", {n_others} on another kind of machine" if n_others else ""
    return Cell(
        shown + flagged + elsewhere,
        point.n_runs,
        alarms=point.n_runs < point.n_planned or bool(flagged),
    )


def _answers(point: PointEstimate) -> Cell:
    """Return whether the answers are worse than those of the best point of the same model."""
    quality = point.quality
    if quality is None or (quality.nll_ratio_to_best is None and not quality.is_worse):
        return NONE
    return Cell(f"worse: {quality.mark}" if quality.mark else "ok", alarms=quality.is_worse)


def _front(point: PointEstimate) -> str:
    if not point.on_front:
        return ""
    return "certain" if point.front_is_certain else "possible"


def effects_table(factors: Sequence[FactorEffect], *, lower_is_better: bool = True) -> str:
    """Return the ranking with its numbers."""
    columns = [
        Column("rank"),
        Column("choice"),
        Column("worst over best" if lower_is_better else "best over worst", is_number=True),
        Column("95 % interval", is_number=True),
        Column("best"),
        Column("worst"),
        Column("share of variance", is_number=True),
        Column("note"),
    ]
    return table(columns, [_effect_row(factor) for factor in factors], name="effects")


def _effect_row(factor: FactorEffect) -> list[Cell]:
    effect = factor.effect
    rank = NONE
    if factor.ranks:
        rank = Cell("\N{EN DASH}".join(map(str, factor.ranks)), factor.ranks[0])
    note = "; ".join(
        line
        for line in (
            "" if factor.verdict == "matters" else factor.verdict.replace("_", " "),
            factor.reason or "",
            factor.note or "",
        )
        if line
    )
    return [
        rank,
        name(factor.key),
        NONE if effect is None else Cell(ratio(effect.ratio), effect.ratio),
        _ends(effect),
        name(factor.best),
        name(factor.worst),
        _share(factor),
        Cell(note),
    ]


def _share(factor: FactorEffect) -> Cell:
    if factor.share is not None:
        return Cell(percent(factor.share), factor.share)
    return NONE if factor.effect is None else Cell("not known")


def _ends(interval: Interval | None) -> Cell:
    if interval is None or interval.ci95_low is None or interval.ci95_high is None:
        return NONE
    low, high = interval.ci95_low, interval.ci95_high
    return Cell(ratio_with_interval(1, low, high).partition("(")[2].rstrip(")"), low)


def levels_table(factors: Sequence[FactorEffect]) -> str:
    """Return each level beside the best level of its factor."""
    columns = [
        Column("choice"),
        Column("level"),
        Column("over the best level", is_number=True),
        Column("points", is_number=True),
    ]
    rows = [
        [
            name(factor.key),
            name(level.level),
            Cell("best", 1.0) if level.level == factor.best else _interval(level.ratio),
            Cell(str(level.n_points), level.n_points),
        ]
        for factor in factors
        for level in factor.levels
    ]
    return table(columns, rows, name="levels")


def dependences_table(analysis: Analysis) -> str:
    """Return the ratio of two levels at each level of the other factor."""
    columns = [
        Column("choice"),
        Column("levels"),
        Column("depends on"),
        Column("at"),
        Column("ratio", is_number=True),
    ]
    rows = [
        [
            name(item.factor),
            name(f"{item.a} over {item.b}"),
            name(item.other),
            name(level),
            _interval(over),
        ]
        for item in analysis.dependences
        for level, over in zip(item.levels, item.ratios, strict=True)
    ]
    return table(columns, rows, name="dependences")


def phases_table(analysis: Analysis) -> str:
    """Return the energy of prefill and decode at each point that has it."""
    columns = [
        Column("#", is_number=True),
        Column("point"),
        Column("prefill, J/input token", is_number=True),
        Column("decode, J/output token", is_number=True),
    ]
    rows = [
        [
            Cell(str(place), place),
            name(point.label),
            number_cell(point.prefill_energy_per_token_j),
            number_cell(point.decode_energy_per_token_j),
        ]
        for place, point in enumerate(analysis.points, 1)
        if point.prefill_energy_per_token_j or point.decode_energy_per_token_j
    ]
    return table(columns, rows, name="phases")
