"""The results so far, as a part of the page; computed seldom, because it reads every result."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llem_config import LlemError
from llem_config.text import one_line
from llem_report._analysis.analyse import analysis_of
from llem_report._page.html import bullets, text
from llem_report._page.tables import effects_table, points_table
from llem_report._study_data.read import read_study_data
from llem_report._study_data.study_data import StudyData, StudyRun
from llem_report.records import Analysis

_MAX_LINES = 20
_MAX_TEXT = 300
_TALL_ROWS = 30
_MIN_CYCLES = 2
_TOO_EARLY = (
    "<p class=quiet>The ranking of the choices begins when the second cycle is complete.</p>\n"
)
_CAUTION = (
    "The intervals hold for a study that ends as planned: do not stop it because of what you see "
    "here."
)


def results_part(folder: Path) -> str:
    """Return the results of the runs so far as HTML; a folder that cannot be read is a sentence."""
    try:
        data = read_study_data(folder)
    except LlemError as error:
        return f"<p class=alarm>{text(one_line(str(error), 1000))}</p>\n"
    problems = _lines("Files that cannot be read", data.problems)
    if not any(run.facts for run in data.runs):
        failed = [run for run in data.runs if run.status == "failed"]
        return f"<p class=quiet>No run has a result yet.</p>\n{_failures(failed)}{problems}"
    analysis = analysis_of(data)
    ranking = _TOO_EARLY if _is_too_early(data) else _ranking(analysis)
    elsewhere = _lines("Runs that are not compared", data.other_machines)
    return (
        f"{ranking}{elsewhere}{_points(analysis)}"
        f"{_failures(run for run in data.runs if run.status == 'failed')}{problems}"
    )


def _is_too_early(data: StudyData) -> bool:
    """Return whether a running study has not yet completed the two cycles that a ranking needs."""
    if data.status != "running" or data.n_cycles < _MIN_CYCLES:
        return False
    open_cycles = {run.cycle for run in data.runs if run.status not in ("completed", "failed")}
    return data.n_cycles - len(open_cycles) < _MIN_CYCLES


def _ranking(analysis: Analysis) -> str:
    caution = f"<p class=quiet>{_CAUTION}</p>\n" if analysis.status == "running" else ""
    finding = f"<p class=finding>{text(one_line(analysis.finding, 1000))}</p>\n{caution}"
    if analysis.reason is not None or not any(factor.effect for factor in analysis.factors):
        return finding
    flips = [each.text for each in analysis.dependences if each.flips]
    return (
        f"{finding}<h3>Which choices matter most</h3>\n{effects_table(analysis.factors)}\n"
        f"{_lines('Choices that depend on another choice', flips)}"
    )


def _points(analysis: Analysis) -> str:
    table = points_table(analysis)
    if len(analysis.points) > _TALL_ROWS:
        table = table.replace("class=scroll", 'class="scroll tall"', 1)
    return f"<h3>Points</h3>\n{table}\n"


def _failures(failed: Iterable[StudyRun]) -> str:
    return _lines("Failed runs", [f"run {run.index}: {'; '.join(run.reasons)}" for run in failed])


def _lines(heading: str, lines: Iterable[str]) -> str:
    """Return the last lines as a list, and how many there are before them."""
    found = [one_line(line, _MAX_TEXT) for line in lines]
    if not found:
        return ""
    n_more = len(found) - _MAX_LINES
    more = [f"and {n_more} earlier ones"] if n_more > 0 else []
    return f"<h3>{heading}</h3>\n{bullets(found[-_MAX_LINES:] + more)}"
