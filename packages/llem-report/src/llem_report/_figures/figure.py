"""A figure: its specification, and what it is rendered to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt

from llem_report._figures.rendering import finished_svg, svg_of, to_pdf, to_png
from llem_report._figures.scales import visible_text
from llem_report._figures.theme import DARK, LIGHT, Theme, Width, config

Chart = Any
"""A chart of Altair, or its specification; Altair's types do not follow a chart through the methods
that return another."""
Draw = Callable[[Theme, Width], Chart]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a study.

    The numbers are in `data`, as rows by the name of the data set. All renderings come from one
    Vega-Lite specification.
    """

    name: str
    """Such as `effects`; also of its files."""
    number: int
    """1 to 8, as on the page."""
    title: str
    """The question that it answers."""
    caption: str
    """What the marks and whiskers are."""
    description: str
    """What it shows, for those who do not see it."""
    draw: Draw = field(repr=False)
    data: dict[str, list[dict[str, Any]]] = field(repr=False)

    def spec(self, theme: Theme = LIGHT, width: Width = "text") -> dict[str, Any]:
        """Return the Vega-Lite specification with its data.

        Args:
            theme: colours.
            width: `text` for the width of a page, `column` for one of two columns.
        """
        spec: dict[str, Any] = _shown(specification(self.draw(theme, width), is_whole=True))
        spec["config"] = config(theme)
        spec["datasets"] = {name: _shown(rows) for name, rows in self.data.items()}
        # What the page says to readers that do not see it.
        spec["description"] = visible_text(self.description)
        return spec

    def svg(self, width: Width = "text", *, dark: bool = False) -> str:
        """Return the figure as an SVG file without a background, in colours for white paper.

        Args:
            width: `text` for the width of a page, `column` for one of two columns.
            dark: use colours for a dark background.
        """
        return finished_svg(
            svg_of(self.spec(DARK if dark else LIGHT, width)),
            name=self.name,
            title=self.title,
            desc=visible_text(self.description),
        )

    def pdf(self, width: Width = "text") -> bytes:
        """Return the figure as a PDF file with its fonts."""
        return to_pdf(self.spec(LIGHT, width))

    def png(self, width: Width = "text", scale: float = 2.0) -> bytes:
        """Return the figure as a PNG file on white, by default with two pixels per unit."""
        return to_png({**self.spec(LIGHT, width), "background": LIGHT.paper}, scale)

    def json(self, width: Width = "text") -> str:
        """Return the Vega-Lite specification as JSON, for other programs."""
        return json.dumps(self.spec(LIGHT, width), ensure_ascii=False, indent=1, allow_nan=False)


def specification(chart: Chart, *, is_whole: bool = False) -> dict[str, Any]:
    """Return the Vega-Lite specification of a chart, without its data.

    Args:
        chart: to draw.
        is_whole: False if it is a part of another one.
    """
    if isinstance(chart, dict):
        return {"$schema": alt.SCHEMA_URL, **chart} if is_whole else chart
    context = {"pre_transform": False, "top_level": is_whole}
    # Not validated, which takes as long as drawing; the tests validate every figure.
    spec: dict[str, Any] = chart.to_dict(validate=False, context=context)
    return spec


def below(charts: Sequence[Chart], spacing: int) -> dict[str, Any]:
    """Return the specification of charts below one another.

    Altair copies every chart inside another one, and again at each level: half of the time of a
    page with many panels.
    """
    return {"vconcat": [specification(chart) for chart in charts], "spacing": spacing}


def beside(charts: Sequence[Chart], spacing: int) -> dict[str, Any]:
    """Return the specification of charts beside one another."""
    return {"hconcat": [specification(chart) for chart in charts], "spacing": spacing}


def _shown(value: Any) -> Any:
    """Return data with an escape for each character that is not seen, such as an override."""
    match value:
        case str():
            return visible_text(value)
        case dict():
            return {key: _shown(item) for key, item in value.items()}
        case list() | tuple():
            return [_shown(item) for item in value]
        case _:
            return value
