"""The figures of the page as pictures, each with its caption and its numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llem_report._figures.figure import Figure
from llem_report._figures.registry import NUMBERS, WITHOUT
from llem_report._figures.rendering import finished_svg, svg_of
from llem_report._figures.scales import visible_text
from llem_report._figures.theme import PAGE
from llem_report._page.html import bullets, text
from llem_report._page.share_tables import PAIRS, share_pairs_table
from llem_report._page.tables import dependences_table, effects_table, levels_table, phases_table
from llem_report.records import Analysis

_NUMBERS: dict[str, Callable[[Analysis], str]] = {
    "effects": lambda analysis: effects_table(
        analysis.factors, lower_is_better=analysis.lower_is_better
    ),
    "slices": lambda analysis: levels_table(analysis.factors),
    "dependences": dependences_table,
    "phases": phases_table,
}
_MAX_SENTENCES = 3
"""About choices that depend on others without a flip; the numbers below have all."""
_NARROW = ("effects", "slices", "dependences", "speed", "first_token", "phases")
"""Figures that are on the page for phones as well. The others are large, and scroll sideways."""
_ELSEWHERE = {
    "speed": 'The numbers are in the <a href="#points-heading">table of points</a>.',
    "first_token": 'The numbers are in the <a href="#points-heading">table of points</a>.',
    "steadiness": 'The numbers are in the <a href="#runs-heading">table of runs</a>.',
    "quality": 'The reasons are in the <a href="#runs-heading">table of runs</a>.',
}


_LETTERS = {"first_token": "b"}  # figures that are the second ones with their number


@dataclass(frozen=True, slots=True)
class DrawnFigure:
    """A figure with the specifications of the page."""

    figure: Figure
    specs: dict[str, dict[str, Any]]
    """By the name of the picture: `effects`, and `effects-narrow` for phones."""


def draw_figure(figure: Figure) -> DrawnFigure:
    """Return a figure drawn for wide screens, and if it is a small one for phones."""
    specs = {figure.name: figure.spec(PAGE, "text")}
    if figure.name in _NARROW:
        specs[f"{figure.name}-narrow"] = figure.spec(PAGE, "column")
    return DrawnFigure(figure, specs)


def figure_section(analysis: Analysis, drawn: DrawnFigure) -> str:
    """Return a figure with its caption and its numbers."""
    figure = drawn.figure
    if figure.name in _NUMBERS:
        numbers = (
            f"<details><summary>Numbers</summary>{_NUMBERS[figure.name](analysis)}</details>\n"
        )
    elif figure.name in _ELSEWHERE:
        numbers = f"<p class=facts>{_ELSEWHERE[figure.name]}</p>\n"
    else:
        numbers = "<p class=facts>The readings are in timeseries.parquet of the run.</p>\n"
    return (
        f'<section aria-labelledby="figure-{figure.name}">\n'
        f'<h2 id="figure-{figure.name}"><small>{figure.number}{_LETTERS.get(figure.name, "")}</small>{text(figure.title)}</h2>\n'
        f"{_lead(analysis, figure)}<figure>{_plots(drawn)}"
        f"<figcaption>{text(figure.caption)}</figcaption></figure>\n{numbers}"
        f"{_pairs(analysis) if figure.name == 'dependences' else ''}</section>\n"
    )


def _pairs(analysis: Analysis) -> str:
    """Return the matrix of the shares of all pairs of choices."""
    pairs = share_pairs_table(analysis)
    return f"<p class=facts>{PAIRS}</p>\n{pairs}\n" if pairs else ""


def _plots(drawn: DrawnFigure) -> str:
    wide, *narrow = drawn.specs
    classes = "wide has-narrow" if narrow else "wide"
    return _plot(drawn, wide, classes) + "".join(_plot(drawn, name, "narrow") for name in narrow)


def _plot(drawn: DrawnFigure, name: str, classes: str) -> str:
    figure = drawn.figure
    svg = svg_of(drawn.specs[name])
    svg = finished_svg(svg, name=name, title=figure.title, desc=visible_text(figure.description))
    return f'<div class="plot {classes}" tabindex=0 data-figure="{name}">{svg}</div>\n'


def _lead(analysis: Analysis, figure: Figure) -> str:
    """Return the sentences above a figure."""
    if figure.name == "slices":
        notes = [f"{factor.key}: {factor.note}" for factor in analysis.factors if factor.note]
        return bullets(notes)
    if figure.name == "dependences":
        flips = [item for item in analysis.dependences if item.flips]
        first = flips or analysis.dependences[:_MAX_SENTENCES]
        return bullets(_typeset(item.text) for item in first)
    return ""


def _typeset(sentence: str) -> str:
    """Return a sentence with the signs of a page: of times, and of a range."""
    sentence = re.sub(r"\bx (?=\d)", "\N{MULTIPLICATION SIGN}", sentence)
    return re.sub(r"(?<=\d)-(?=\d+\.\d)", "\N{EN DASH}", sentence)


def missing_figures(analysis: Analysis, made: Sequence[Figure]) -> str:
    names = {figure.name for figure in made}
    why = {name: reason for name, reason in WITHOUT.items() if name not in names}
    if not any(name.startswith("power") for name in names):
        why["power"] = "no run of the best point has readings of its power"
    if analysis.figure != "energy_per_output_token_j" and "speed" in why:
        why["speed"] += "; see `llem-cli doctor` for what this machine can measure"
    if analysis.flips_note and "dependences" in why:
        why["dependences"] = analysis.flips_note
    lines = [
        f"Figure {NUMBERS[name]} ({name}): {why[name]}."
        for name in sorted(why, key=NUMBERS.__getitem__)
    ]
    if not lines:
        return ""
    return (
        f"<section>\n<h2>Figures that this study does not have</h2>\n{bullets(lines)}</section>\n"
    )
