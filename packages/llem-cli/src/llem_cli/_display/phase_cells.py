"""The columns of the table of what limited the phases of each point, for explanation only."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from llem_cli._display.numbers import percent
from llem_cli._display.study_cells import Column
from llem_report.records import Analysis, PointPhase
from llem_runner.records import PointSummary

PHASES_TITLE = "shares of the measured peaks: mfu of matrix products, mbu of the memory"
_PHASES = ("prefill", "decode")
_Phases = Mapping[str, Mapping[str, PointPhase]]


def phase_columns(analysis: Analysis) -> list[Column]:
    """Return the columns of each phase of which a share is known; [] if none is."""
    by_point: _Phases = {
        point.config_hash: {each.phase: each for each in point.phases} for point in analysis.points
    }
    known = {
        phase
        for phases in by_point.values()
        for phase, each in phases.items()
        if each.mfu is not None or each.mbu is not None
    }
    return [
        column
        for phase in _PHASES
        if phase in known
        # In a narrow terminal, decode has a table of its own.
        for column in _columns(phase, by_point, is_first=phase == _PHASES[0])
    ]


def _columns(phase: str, by_point: _Phases, *, is_first: bool) -> list[Column]:
    def column(name: str, text: Callable[[PointPhase], str]) -> Column:
        def cell(point: PointSummary) -> str:
            found = by_point.get(point.config_hash, {}).get(phase)
            return "-" if found is None else text(found)

        return Column(f"{phase}\n{name}", cell, is_first)

    return [
        column("mfu", lambda each: _share(each.mfu)),
        column("mbu", lambda each: _share(each.mbu)),
        column("bound by", lambda each: ", ".join(each.bound_by) or "-"),
    ]


def _share(share: float | None) -> str:
    return "-" if share is None else percent(share)
