"""Tables of an analysis for LaTeX, with the rules of the package booktabs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llem_config.text import shortened
from llem_report._figures.names import short_names
from llem_report._figures.scales import MINUS, number, percent, ratio_with_interval, visible_text
from llem_report.records import Analysis, FactorEffect, PointEstimate

_MAX_NAME = 60
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{EN DASH}": "--",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
    MINUS: "$-$",
} | {character: f"\\{character}" for character in "&%$#_{}"}


def latex(text: str) -> str:
    """Return text as LaTeX in which no character is a command."""
    return "".join(_SPECIAL.get(character, character) for character in visible_text(text))


def effects_tex(analysis: Analysis) -> str:
    """Return the ranking of the choices as a `tabular`."""
    over = "worst over best" if analysis.lower_is_better else "best over worst"
    head = ["", "choice", over, "95 % interval", "best", "worst", "share"]
    rows = [_effect(factor) for factor in analysis.factors]
    shares = f" Shares are not known: {analysis.shares_reason}." if analysis.shares_reason else ""
    note = (
        f"Ratio of the {over.replace(' over ', ' level to the ')} in {analysis.unit}, everything else "
        "equal. The "
        "intervals hold for all choices at once. First column: the ranks that a choice can have."
        f"{shares}"
    )
    return _tabular("rlrrllr", head, rows, note)


def points_tex(analysis: Analysis) -> str:
    """Return the points as a `tabular`."""
    names = short_names(factor.key for factor in analysis.factors)
    speeds = analysis.figure != "tokens_per_second"
    head = [*(names.values() if names else ["point"]), analysis.unit, "95 % interval", "over best"]
    head += ["tokens/s"] if speeds else []
    rows = [
        [
            *([point.levels.get(key, "") for key in names] if names else [point.label]),
            *_figures(point),
            *([number(point.tokens_per_second)] if speeds else []),
        ]
        for point in analysis.points
    ]
    columns = "l" * max(len(names), 1) + "rrr" + ("r" if speeds else "")
    note = f"Geometric means over the runs of a point: {analysis.figure}."
    elsewhere = [run.index for run in analysis.runs if run.other_machine is not None]
    if elsewhere:
        note += (
            f" {len(elsewhere)} runs on another kind of machine are in no ratio, and in the mean only of a "
            "point without other runs."
        )
    return _tabular(columns, head, rows, note)


def _effect(factor: FactorEffect) -> list[str]:
    effect = factor.effect
    if effect is None:
        return ["", factor.key, "cannot be told", "", "", "", ""]
    value, _, interval = ratio_with_interval(
        effect.ratio, effect.ci95_low, effect.ci95_high
    ).partition(" ")
    return [
        "\N{EN DASH}".join(map(str, factor.ranks)),
        factor.key,
        value,
        interval.strip("()"),
        factor.best or "",
        factor.worst or "",
        "not known" if factor.share is None else percent(factor.share),
    ]


def _figures(point: PointEstimate) -> list[str]:
    low, high, over = point.ci95_low, point.ci95_high, point.ratio_to_best
    interval = "" if low is None or high is None else f"{number(low)}\N{EN DASH}{number(high)}"
    shown = "" if over is None else ratio_with_interval(over.ratio, over.ci95_low, over.ci95_high)
    return [number(point.value), interval, shown]


def _tabular(columns: str, head: Sequence[str], rows: Iterable[Sequence[str]], note: str) -> str:
    lines = [
        "% \\usepackage{booktabs}",
        f"% {visible_text(note)}",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        _row(head),
        "\\midrule",
        *map(_row, rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(latex(shortened(cell, _MAX_NAME)) for cell in cells) + " \\\\"
