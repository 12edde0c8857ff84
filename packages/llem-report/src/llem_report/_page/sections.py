"""The parts of the page below the figures: tables, conditions, method, citation."""

from __future__ import annotations

from llem_report._analysis.wording import size_words
from llem_report._page.conditions import Conditions
from llem_report._page.further_figures import further_figures_table
from llem_report._page.html import bullets, definitions, text
from llem_report._page.run_table import reasons_of_all, runs_table
from llem_report._page.share_tables import PAIRS, share_pairs_table, shares_table
from llem_report._page.tables import points_table
from llem_report.records import Analysis


def points(analysis: Analysis, *, static: bool) -> str:
    tool = (
        ""
        if static or len(analysis.points) < 2
        else "<p data-script hidden><label>Filter <input id=filter type=search "
        'placeholder="words of a row" autocomplete=off></label></p>\n'
    )
    return (
        "<section>\n<h2 id=points-heading>Points</h2>\n"
        "<p class=facts>Figures are geometric means over the runs of a point. Intervals are 95 %, of "
        "each figure by itself: several figures at once are not adjusted. "
        f"Ratios to the best point hold for all points at once.{_about_answers(analysis)}</p>\n{tool}"
        f"{_tall(points_table(analysis), len(analysis.points))}{_further(analysis)}</section>\n"
    )


def _about_answers(analysis: Analysis) -> str:
    """Return what the column of the answers means; nothing without that column."""
    if not any(point.quality and point.quality.nll_ratio_to_best for point in analysis.points):
        return ""
    return (
        " Answers are ok if the negative log likelihood (NLL) of a fixed text is within 2 % of the "
        "best point of the same model."
    )


def _further(analysis: Analysis) -> str:
    """Return the further figures of the points; nothing if no point has any."""
    table = further_figures_table(analysis)
    if not table:
        return ""
    return (
        "<details class=long><summary>Further figures of the points</summary>"
        f"{_tall(table, len(analysis.points))}</details>"
    )


def runs(analysis: Analysis) -> str:
    of_all = bullets(f"All runs that were measured: {each}" for each in reasons_of_all(analysis))
    return (
        f"<section>\n<h2 id=runs-heading>Runs</h2>\n{of_all}<details class=long><summary>All {len(analysis.runs)} "
        f"runs</summary>{_tall(runs_table(analysis), len(analysis.runs))}</details></section>\n"
    )


def _tall(table: str, n_rows: int) -> str:
    return table.replace("class=scroll", 'class="scroll tall"', 1) if n_rows > 20 else table


def shares(analysis: Analysis) -> str:
    if not any(factor.share is not None for factor in analysis.factors):
        if analysis.shares_reason is None:
            return ""
        content = f"<p>The shares are not known: {text(analysis.shares_reason)}.</p>"
    else:
        content = shares_table(analysis)
        # With figure 4, the pairs are below it.
        pairs = "" if analysis.dependences else share_pairs_table(analysis)
        content += f"<p class=facts>{PAIRS}</p>\n{pairs}" if pairs else ""
    return f"<section>\n<h2>How the variance between points divides</h2>\n{content}</section>\n"


def conditions(conditions: Conditions) -> str:
    parts = [
        (heading, rows)
        for heading, rows in (
            ("Hardware", conditions.hardware),
            ("Energy", conditions.energy),
            ("Protocol", conditions.protocol),
            ("Software", conditions.software),
        )
        if rows
    ]
    if not parts:
        return ""
    content = "".join(f"<h3>{heading}</h3>\n{definitions(rows)}\n" for heading, rows in parts)
    return f"<section>\n<h2>Conditions</h2>\n{content}</section>\n"


def left_out(analysis: Analysis, conditions: Conditions) -> str:
    lines = [
        *conditions.left_out,
        *analysis.left_out,
        *(f"{factor.key}: {factor.reason}" for factor in analysis.factors if factor.reason),
    ]
    content = bullets(lines) or "<p>Nothing: every planned run is used.</p>"
    if not bullets(lines) and analysis.n_runs_used < analysis.n_runs_planned:
        content = "<p>Runs without the figure; the table of runs has the reason of each.</p>"
    warnings = (
        f"<h3>Warnings of runs</h3>\n{bullets(conditions.warnings)}" if conditions.warnings else ""
    )
    return f"<section>\n<h2>What was left out, and why</h2>\n{content}{warnings}</section>\n"


def method(analysis: Analysis) -> str:
    sentences = (
        "A choice is compared within contexts: points that agree in every other choice. Its effect "
        "is the mean over all contexts that the study has, on a logarithmic scale. Nothing is filled "
        "in, and no model of the effects is fitted beyond that.",
        analysis.method,
        "Intervals hold the spread of runs over the cycles of this study. They do not hold the gain "
        "error of the sensor, other boards, or another day. The ranking holds for the levels, "
        "models, prompts and machine of this study: a wider range of levels gives a larger effect.",
    )
    caveats = (
        f"<h3>What could still be wrong</h3>\n{bullets(analysis.caveats)}"
        if analysis.caveats
        else ""
    )
    return (
        "<section>\n<h2 id=method>Method</h2>\n"
        + "".join(f"<p>{text(sentence)}</p>\n" for sentence in sentences)
        + f"{caveats}</section>\n"
    )


def citation(analysis: Analysis, conditions: Conditions) -> str:
    versions = next((values for name, values in conditions.protocol if name == "llem"), [])
    size = size_words("point", analysis.n_points, analysis.n_cycles, analysis.n_runs_planned)
    cited = (
        f"Study “{analysis.study_name}” (design {analysis.study_design_hash}), {size}"
        + (f", measured on {conditions.date}" if conditions.date else "")
        + (f" on {conditions.machine}" if conditions.machine else "")
        + f", with llem{' (' + ', '.join(versions) + ')' if versions else ''}. "
        f"{analysis.figure}, 95 % intervals over cycles."
    )
    return f"<section>\n<h2>How to cite</h2>\n<pre>{text(cited)}</pre>\n</section>\n"
