"""Colours and type of the figures: Okabe-Ito colours, readable numbers, few lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Width = Literal["text", "column"]
"""`text`: the whole width of a page, 760 units. `column`: one of two columns, 360 units."""

TOTAL_WIDTH: dict[Width, int] = {"text": 760, "column": 360}
"""In units; labels have 12 of them."""

FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif"
"""One of these is on every system, and all have the same widths. The place of each text is computed
when the file is written, so a wider font would run into its neighbours."""
N_COLOURS = 6
SHAPES = ("circle", "square", "triangle-up", "diamond")


@dataclass(frozen=True, slots=True)
class Theme:
    """The colour of each role. A page uses CSS variables, so that it can be light or dark."""

    ink: str
    """Text and the most important marks."""
    muted: str
    """Axis labels and secondary text; readable on the background."""
    grid: str
    faint: str
    """Marks behind the others, such as single contexts."""
    paper: str
    """Background, and the inside of hollow marks."""
    bad: str
    ok: str
    """Large quiet areas: what needs no attention."""
    on_colour: str
    """Letters on marks of the colours below."""
    colours: tuple[str, ...]
    """Okabe-Ito, darker where white paper needs it; at most `N_COLOURS` levels get one."""


LIGHT = Theme(
    ink="#1b1f24",
    muted="#59636e",
    grid="#e4e7eb",
    faint="#b4bcc5",
    paper="#ffffff",
    bad="#c2410c",
    ok="#b9e0d2",
    on_colour="#0b0d0f",
    colours=("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"),
)
DARK = Theme(
    ink="#e8eaed",
    muted="#a3abb5",
    grid="#2d333b",
    faint="#5b6570",
    paper="#14171b",
    bad="#ff8a5c",
    ok="#1f5546",
    on_colour="#14171b",
    colours=("#4aa8e0", "#f0b43c", "#2cc295", "#e09ac4", "#8fd0f5", "#f08a4b"),
)
PAGE = Theme(
    ink="var(--ink)",
    muted="var(--muted)",
    grid="var(--grid)",
    faint="var(--faint)",
    paper="var(--paper)",
    bad="var(--bad)",
    ok="var(--ok)",
    on_colour="var(--on_colour)",
    colours=tuple(f"var(--c{number})" for number in range(1, N_COLOURS + 1)),
)


def css_variables(theme: Theme) -> str:
    """Return the declarations of the variables that `PAGE` uses."""
    roles = {name: getattr(theme, name) for name in Theme.__slots__ if name != "colours"}
    colours = {f"c{number}": colour for number, colour in enumerate(theme.colours, 1)}
    return "".join(f"--{name}:{value};" for name, value in (roles | colours).items())


def config(theme: Theme) -> dict[str, Any]:
    """Return the configuration of Vega-Lite for a theme."""
    return {
        "font": FONT,
        "background": None,
        "padding": 4,
        "view": {"stroke": None},
        "axis": {
            "labelFontSize": 12,
            "labelColor": theme.muted,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titleColor": theme.muted,
            "titlePadding": 8,
            "gridColor": theme.grid,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
        },
        "legend": {
            "labelFontSize": 12,
            "labelColor": theme.ink,
            "labelLimit": 150,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titleColor": theme.muted,
            "titleLimit": 220,
            "symbolOpacity": 1,
            "layout": {"margin": 14},
        },
        "title": {
            "fontSize": 12,
            "fontWeight": 600,
            "color": theme.ink,
            "anchor": "start",
            "subtitleFontSize": 12,
            "subtitleColor": theme.muted,
            "offset": 8,
        },
        "text": {"fontSize": 12, "color": theme.ink},
        "locale": {
            "number": {
                "decimal": ".",
                "thousands": "\N{NARROW NO-BREAK SPACE}",
                "grouping": [3],
                "currency": ["", ""],
            }
        },
    }
