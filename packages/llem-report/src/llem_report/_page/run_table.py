"""The table of all runs of a study."""

from __future__ import annotations

from llem_report._figures.quality import state_of
from llem_report._figures.scales import MINUS, number
from llem_report._page.html import Cell, Column, table
from llem_report._page.tables import NONE, number_cell
from llem_report.records import Analysis, RunEstimate

_MIN_RUNS_ALIKE = 10


def reasons_of_all(analysis: Analysis) -> tuple[str, ...]:
    """Return the reasons that every run with a value has; none if there are few runs."""
    sets = [run.reasons for run in analysis.runs if run.value is not None]
    if len(sets) < _MIN_RUNS_ALIKE:
        return ()
    return tuple(reason for reason in sets[0] if all(reason in reasons for reasons in sets))


def runs_table(analysis: Analysis) -> str:
    """Return all planned runs; the reasons of all of them stand above the table."""
    of_all = reasons_of_all(analysis)
    places = {point.config_hash: place for place, point in enumerate(analysis.points, 1)}
    has_bound = any(run.energy_bound_share is not None for run in analysis.runs)
    has_temperature = any(run.gpu_temperature_c is not None for run in analysis.runs)
    columns = [
        Column("run", is_number=True),
        Column("cycle", is_number=True),
        Column("point #", is_number=True),
        Column(analysis.unit, is_number=True),
        Column("% from its point", is_number=True),
        *([Column("max. error", is_number=True)] if has_bound else []),
        *([Column("GPU before, \N{DEGREE SIGN}C", is_number=True)] if has_temperature else []),
        Column("state"),
        Column("why"),
    ]
    rows = []
    for run in analysis.runs:
        state = state_of(run)
        place = places.get(run.config_hash)
        rows.append(
            [
                Cell(str(run.index), run.index),
                Cell(str(run.cycle), run.cycle),
                NONE if place is None else Cell(str(place), place),
                number_cell(run.value),
                NONE if run.ratio_to_point is None else _percent_off(run.ratio_to_point),
                *([_bound(run.energy_bound_share)] if has_bound else []),
                *([number_cell(run.gpu_temperature_c)] if has_temperature else []),
                Cell(
                    ("outlier, " if run.is_outlier else "")
                    + ("not run yet" if state == "pending" else state),
                    alarms=run.is_outlier or state not in ("ok", "pending"),
                ),
                Cell("; ".join([*_elsewhere(run), *(r for r in run.reasons if r not in of_all)])),
            ]
        )
    return table(columns, rows, name="runs")


def _elsewhere(run: RunEstimate) -> list[str]:
    """Return that a run is not compared because of its machine, if so."""
    if run.other_machine is None:
        return []
    return [f"not compared, because the kind of machine is another one: {run.other_machine}"]


def _bound(share: float | None) -> Cell:
    return NONE if share is None else Cell(f"{number(100 * share, 2)} %", share)


def _percent_off(ratio_to_point: float) -> Cell:
    value = 100 * (ratio_to_point - 1)
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    return Cell(f"{sign}{abs(value):.1f}", value)
