"""The report of a study as one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from llem_report._figures.figure import Figure
from llem_report._figures.registry import figures
from llem_report._figures.runtime import runtime
from llem_report._figures.theme import DARK, LIGHT, css_variables
from llem_report._page import sections
from llem_report._page.conditions import Conditions
from llem_report._page.explanation import explanation
from llem_report._page.figure_data import figure_data
from llem_report._page.figure_sections import draw_figure, figure_section, missing_figures
from llem_report._page.header import header, navigation, tools
from llem_report._page.html import alignment, text
from llem_report.records import Analysis

_LIGHT_ONLY = "--link:#0060a0;--tint:#f5f6f8;"
_DARK_ONLY = "--link:#7cc0ee;--tint:#1d2127;"


def report_html(
    analysis: Analysis,
    conditions: Conditions | None = None,
    *,
    more: Sequence[Figure] = (),
    static: bool = False,
) -> str:
    """Return the page of a study.

    The same analysis gives the same page, byte for byte.

    Args:
        analysis: of the study.
        conditions: of its measurement; without them, the page has no such section.
        more: figures of single runs.
        static: leave the scripts out; figures are pictures and tables cannot be sorted.
    """
    conditions = conditions or Conditions()
    made = sorted((*figures(analysis), *more), key=lambda figure: figure.number)
    drawn = [draw_figure(figure) for figure in made]
    body = "".join(
        (
            header(analysis, conditions),
            navigation(made),
            "" if static else tools(analysis),
            *(figure_section(analysis, each) for each in drawn),
            missing_figures(analysis, made),
            sections.points(analysis, static=static),
            explanation(analysis),
            sections.runs(analysis),
            sections.shares(analysis),
            sections.conditions(conditions),
            sections.left_out(analysis, conditions),
            sections.method(analysis),
            sections.citation(analysis, conditions),
        )
    )
    scripts = [] if static else [f"(() => {{{runtime()}}})();\n", _resource("report.js")]
    data = "" if static else figure_data(drawn)
    return (
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        '<meta name=viewport content="width=device-width,initial-scale=1">\n'
        f"<title>{text(analysis.study_name)} \N{EN DASH} llem report</title>\n"
        f"<style>{_style()}</style>\n</head>\n<body>\n<div class=page>\n{body}</div>\n{data}"
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _policy(scripts: Sequence[str]) -> str:
    """Return a policy that lets the page load nothing and run no script but these."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes or chr(39) + 'none' + chr(39)}; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _resource(name: str) -> str:
    return files("llem_report._page").joinpath(name).read_text(encoding="utf-8")


def _style() -> str:
    light, dark = css_variables(LIGHT) + _LIGHT_ONLY, css_variables(DARK) + _DARK_ONLY
    return (
        f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        + _resource("report.css")
        + alignment()
    )
