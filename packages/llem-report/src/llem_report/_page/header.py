"""The top of the page: what was found, what is missing, and links to the parts."""

from __future__ import annotations

from collections.abc import Sequence

from llem_report._analysis.subject import of_inference, subject_of
from llem_report._analysis.wording import size_words
from llem_report._figures.figure import Figure
from llem_report._page.conditions import Conditions
from llem_report._page.html import text
from llem_report.records import Analysis
from llem_runner.repeats import untold_difference


def header(analysis: Analysis, conditions: Conditions) -> str:
    facts = [
        conditions.date,
        conditions.machine,
        size_words(
            "point",
            analysis.n_points,
            analysis.n_cycles,
            analysis.n_runs_planned,
            between=" \N{MULTIPLICATION SIGN} ",
        ),
        f"figure of merit: {analysis.unit}, "
        f"{'lower' if analysis.lower_is_better else 'higher'} is better",
    ]
    note = f"<p class=note>{text(conditions.note)}</p>\n" if conditions.note else ""
    return (
        f"<header>\n<p class=kind>Report of a study of {of_inference(subject_of(analysis), article=True)}</p>\n"
        f"<h1>{text(analysis.study_name)}</h1>\n<p class=finding>{text(analysis.finding)}</p>\n"
        f"<p class=facts>{text(' · '.join(fact for fact in facts if fact))}</p>\n"
        f"{note}{_alarm(analysis)}{_detectable(analysis)}</header>\n"
    )


def _alarm(analysis: Analysis) -> str:
    """Return what is missing; nothing if all runs have the figure."""
    parts = []
    if analysis.status == "running":
        n_done = analysis.n_runs_planned - analysis.n_runs_pending
        parts.append(f"running: {n_done} of {analysis.n_runs_planned} runs")
    elif analysis.status != "completed":
        parts.append(f"the study is {analysis.status}")
    if analysis.n_runs_used < analysis.n_runs_planned:
        parts.append(f"{analysis.n_runs_used} of {analysis.n_runs_planned} runs are used")
    if analysis.n_runs_failed:
        parts.append(f"{analysis.n_runs_failed} failed")
    n_flagged = sum(point.n_flagged for point in analysis.points)
    if n_flagged:
        parts.append(f"{n_flagged} flagged")
    if analysis.reason:
        parts.append(analysis.reason)
    if not parts:
        return ""
    return f'<p class="alarm">{text("; ".join(parts))}</p>\n'


def _detectable(analysis: Analysis) -> str:
    if analysis.detectable_ratio is None:
        return ""
    return f"<p class=facts>{text(untold_difference(analysis.detectable_ratio))}</p>\n"


def navigation(made: Sequence[Figure]) -> str:
    links = [(figure.name, figure.title) for figure in made]
    links += [("points-heading", "Points"), ("runs-heading", "Runs"), ("method", "Method")]
    anchors = "\n".join(
        f'<a href="#{name if name.endswith(("heading", "method")) else "figure-" + name}">{text(title)}</a>'
        for name, title in links
    )
    return f'<nav aria-label="Contents">\n{anchors}\n</nav>\n'


def tools(analysis: Analysis) -> str:
    groups = "".join(
        f'<optgroup label="{text(factor.key)}">'
        + "".join(
            f'<option value="{number_f},{number_l}">{text(factor.key)} = {text(level.level)}'
            for number_l, level in enumerate(factor.levels)
        )
        + "</optgroup>"
        for number_f, factor in enumerate(analysis.factors)
    )
    if not groups:
        return ""
    return (
        "<div class=tools hidden><label for=highlight>Highlight in all figures</label>"
        f'<select id=highlight><option value="">all points{groups}</select></div>\n'
    )
