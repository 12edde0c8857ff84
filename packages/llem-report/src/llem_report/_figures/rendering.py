"""Vega-Lite specifications to SVG, PDF and PNG, without a network and without a browser."""

from __future__ import annotations

import re
import sys
from html import escape
from typing import Any

from llem_report._errors import ReportError
from llem_report._figures.merged_marks import merge_marks, merge_texts
from llem_report._figures.theme import FONT

VEGA_LITE = "6.4"
"""The version of Vega-Lite that Altair writes for; vl-convert carries several."""
_MIN_ADDRESSES = 80_000_000_000
"""Bytes. The renderer reserves more than 40 GB of them, uses few, and ends the process without."""
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_PATHS = re.compile(r' (d|transform|x2?|y2?|width|height)="([^"]*)"')
_IDS = re.compile(r'(\bid="|url\(#|href="#)((?:clip|gradient)[\w-]*)')
_EMPTY_PATHS = re.compile(
    r'<path class="(?:background|foreground)"'
    r'(?: d="[^"]*"/>| d="(?:M0,0h0v0h0Z)?"[^>]*/>| d="[^"]*" display="none"/>)'
)
_ROLES = re.compile(r' (?:aria-[a-z]+|role)="[^"<>]*"')
"""The picture as a whole has a title and a description; readers of it skip what is inside."""
_LINE_GROUPS = re.compile(
    r'<g transform="translate\(0,0\)"><g><g class="mark-line role-mark [^"]*">'
    r"(<path [^>]*/>)</g></g></g>"
)
"""Each line of a set of lines, which has groups of its own."""
_FONT = f' font-family="{FONT}"'
_ROOT = re.compile(r"<svg ([^>]*)>")


def svg_of(spec: dict[str, Any]) -> str:
    """Return the SVG of a specification, as the renderer writes it."""
    vl_convert = renderer()
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    return svg


def to_pdf(spec: dict[str, Any]) -> bytes:
    """Return a specification as PDF."""
    vl_convert = renderer()
    content: bytes = vl_convert.vegalite_to_pdf(spec, vl_version=VEGA_LITE)
    return content


def to_png(spec: dict[str, Any], scale: float) -> bytes:
    """Return a specification as PNG with `scale` pixels per unit."""
    vl_convert = renderer()
    content: bytes = vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=scale)
    return content


def renderer() -> Any:
    """Return the library that draws.

    Raises:
        ReportError: the addresses of this process are limited, with which the library would end it.
    """
    if sys.platform != "win32":
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if resource.RLIM_INFINITY != limit < _MIN_ADDRESSES:
            raise ReportError(
                f"no figure can be drawn: expected at least {_MIN_ADDRESSES / 1e9:.0f} GB of addresses, "
                f"found a limit of {limit / 1e9:.1f} GB; remove it, e.g. with `ulimit -v unlimited`"
            )
    import vl_convert

    return vl_convert


def finished_svg(svg: str, *, name: str, title: str, desc: str) -> str:
    """Return the SVG with a title and a description, shorter numbers, and names of its own.

    Args:
        svg: as the renderer writes it.
        name: makes the ids of this figure differ from those of the others on a page.
        title: of the figure.
        desc: for readers that do not see it.
    """
    svg = _PATHS.sub(_shorter, svg)
    svg = _ROLES.sub("", svg).replace(_FONT, "")
    svg = _LINE_GROUPS.sub(r"\1", _EMPTY_PATHS.sub("", svg))
    svg = merge_texts(merge_marks(svg.replace(' opacity="1"', "")))
    svg = _IDS.sub(lambda match: f"{match[1]}{name}-{match[2]}", svg)
    head = (
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(desc)}</desc>'
    )
    labels = f'role="img" aria-labelledby="{name}-title {name}-desc"'
    return _ROOT.sub(lambda match: f"<svg {match[1]}{_FONT} {labels}>{head}", svg, count=1)


def _shorter(match: re.Match[str]) -> str:
    # A tenth of a unit is less than a printer shows.
    value = _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), match[2])
    return f' {match[1]}="{value}"'
