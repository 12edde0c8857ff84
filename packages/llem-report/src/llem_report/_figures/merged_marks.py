"""Marks of an SVG that differ only in their place, merged into one path: a tenth of the size.

A study of 200 points x 5 cycles has 1,000 dots in one figure.
"""

from __future__ import annotations

import re
from itertools import groupby

_MIN = 8
"""Fewer marks are left as they are."""
_PATHS = re.compile(r"(?:<path (?![^>]*aria-)[^>]*/>){2,}")
_PATH = re.compile(r"<path [^>]*/>")
_DOT = re.compile(
    r'<path transform="translate\((?P<x>[-\d.]+),(?P<y>[-\d.]+)\)" '
    r'd="M(?P<r>[\d.]+),0A[^"]*" fill="(?P<fill>[^"]*)"'
    r'(?: stroke="[^"]*" stroke-width="0"| stroke-width="[^"]*")?(?: opacity="(?P<opacity>[^"]*)")?/>'
)
_SHAPE = re.compile(
    r'<path transform="translate\((?P<x>[-\d.]+),(?P<y>[-\d.]+)\)" '
    r'd="(?P<d>[MLhvZ\d.,-]+)" (?P<style>fill="[^"]*")'
    r'(?: stroke="[^"]*" stroke-width="0"| stroke-width="[^"]*")?(?P<more>(?: opacity="[^"]*")?)/>'
)
_TEXTS = re.compile(r"(?:<text [^>]*>[^<]*</text>){2,}")
_TEXT = re.compile(
    r'<text(?P<before>[^>]*?)(?P<place> transform="[^"]*")(?P<after>[^>]*)>(?P<text>[^<]*)</text>'
)
_CORNER = re.compile(r"([ML])(-?[\d.]+),(-?[\d.]+)")
_BOX = re.compile(r'<path d="(?P<d>M[^"A-Z]*Z)" (?P<style>fill="[^"]*"(?: opacity="1")?)/>')


def merge_marks(svg: str) -> str:
    """Return an SVG in which neighbouring dots of one colour are one path, like boxes.

    Dots become round ends of lines of no length; shapes such as squares keep their form. Marks with
    a label for screen readers, and marks with a stroke, are left as they are.
    """
    return _PATHS.sub(lambda match: _merged(_PATH.findall(match[0])), svg)


def merge_texts(svg: str) -> str:
    """Return an SVG in which neighbouring texts of one style are a group that has the style."""
    return _TEXTS.sub(lambda match: _grouped(list(_TEXT.finditer(match[0]))), svg)


def _grouped(texts: list[re.Match[str]]) -> str:
    parts = []
    for style, group in groupby(texts, key=lambda text: text["before"] + text["after"]):
        marks = list(group)
        if len(marks) < _MIN or "opacity" in style:
            parts += [mark[0] for mark in marks]
            continue
        content = "".join(f"<text{mark['place']}>{mark['text']}</text>" for mark in marks)
        parts.append(f"<g{style}>{content}</g>")
    return "".join(parts)


def _merged(paths: list[str]) -> str:
    parts = []
    for style, group in groupby(paths, key=_style):
        marks = list(group)
        if style is None or len(marks) < _MIN:
            parts += marks
        elif style[0] == "box":
            d = "".join(match["d"] for match in map(_BOX.match, marks) if match)
            parts.append(f'<path d="{d}" {style[1]}/>')
        elif style[0] == "shape":
            d = "".join(_moved(match) for match in map(_SHAPE.match, marks) if match)
            parts.append(f'<path d="{d}" {style[1]}/>')
        else:
            places = (match for match in map(_DOT.match, marks) if match)
            d = "".join(f"M{match['x']},{match['y']}h0" for match in places)
            parts.append(f'<path d="{d}" {style[1]}/>')
    return "".join(parts)


def _style(path: str) -> tuple[str, str] | None:
    """Return the kind of a mark and what merged marks share; None for a mark to leave alone."""
    if box := _BOX.fullmatch(path):
        return "box", box["style"]
    if shape := _SHAPE.fullmatch(path):
        return "shape", shape["style"] + shape["more"].replace("opacity", "fill-opacity")
    if dot := _DOT.fullmatch(path):
        opacity = f' stroke-opacity="{dot["opacity"]}"' if dot["opacity"] else ""
        width = f"{2 * float(dot['r']):g}"
        return "dot", (
            f'fill="none" stroke="{dot["fill"]}" stroke-width="{width}" '
            f'stroke-linecap="round"{opacity}'
        )
    return None


def _moved(shape: re.Match[str]) -> str:
    """Return the path of a shape at its place."""
    x, y = float(shape["x"]), float(shape["y"])
    return _CORNER.sub(
        lambda corner: f"{corner[1]}{float(corner[2]) + x:.1f},{float(corner[3]) + y:.1f}",
        shape["d"],
    )
