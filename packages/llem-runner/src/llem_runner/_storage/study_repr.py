"""One line for the result of a study, which a notebook or a debugger shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llem_runner._storage.study_result import StudyResult


def study_repr(result: StudyResult) -> str:
    """Return name, status, number of points and runs, and the folder if it is known."""
    summary = result.summary
    done = f"{summary.completed} of {summary.planned} runs"
    where = "" if result.folder is None else f", {result.folder}"
    points = f"{len(summary.points)} points"
    return f"<StudyResult {result.study_name}: {result.status}, {points}, {done}{where}>"
