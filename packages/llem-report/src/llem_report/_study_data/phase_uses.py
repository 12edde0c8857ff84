"""How much of its device each phase of a run used, and the same of a point. Never in a ranking."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable

from llem_energy import ExperimentResult
from llem_report._study_data.study_data import PhaseUse, StudyRun
from llem_report.records import PointPhase


def phase_uses(result: ExperimentResult) -> tuple[PhaseUse, ...]:
    """Return the phases of a run of which anything is known."""
    found = (PhaseUse(each.phase, each.mfu, each.mbu, each.bound_by) for each in result.roofline)
    return tuple(use for use in found if any(value is not None for value in use[1:]))


def point_phases(runs: Iterable[StudyRun]) -> dict[int, tuple[PointPhase, ...]]:
    """Return the phases of each point that has any, by `StudyRun.point`.

    A share can be 0, so its mean is the arithmetic one.
    """
    uses: dict[int, dict[str, list[PhaseUse]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for use in run.facts.phases if run.facts is not None else ():
            uses[run.point][use.phase].append(use)
    return {
        point: tuple(_mean(phase, of_phase) for phase, of_phase in by_phase.items())
        for point, by_phase in uses.items()
    }


def _mean(phase: str, uses: list[PhaseUse]) -> PointPhase:
    return PointPhase(
        phase=phase,
        mfu=_mean_of(use.mfu for use in uses),
        mbu=_mean_of(use.mbu for use in uses),
        bound_by=tuple(sorted({use.bound_by for use in uses if use.bound_by is not None})),
    )


def _mean_of(shares: Iterable[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return statistics.fmean(known) if known else None
