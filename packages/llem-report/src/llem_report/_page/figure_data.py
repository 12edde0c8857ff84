"""The specifications of the figures as data for the scripts of the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llem_report._page.figure_sections import DrawnFigure


def figure_data(drawn: Sequence[DrawnFigure]) -> str:
    """Return the specifications as data; data sets that figures share are there once."""
    datasets: dict[str, Any] = {}
    specs: dict[str, dict[str, Any]] = {}
    for each in drawn:
        names = {}
        for name, rows in each.specs[each.figure.name]["datasets"].items():
            content = _compact(rows)
            key = next((key for key, other in datasets.items() if other == content), None)
            key = key or (name if name not in datasets else f"{each.figure.name}-{name}")
            datasets[key] = content
            names[name] = key
        specs |= {name: {**spec, "datasets": names} for name, spec in each.specs.items()}
    data = json.dumps(
        {"figures": specs, "datasets": {name: _table(rows) for name, rows in datasets.items()}},
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    )
    # Nothing in a text can end the element or begin a comment.
    data = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="figures">{data}</script>\n'


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as lists below their names; a script restores them.

    Repeated texts are there once, and so is a column that repeats another one: the place of a run
    in time is mostly its number.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    words: dict[str, list[str]] = {}
    same: dict[str, str] = {}
    for name in names[1:]:
        values = columns[name]
        first = next((other for other, each in columns.items() if each == values), name)
        if first != name:
            same[name] = first
            del columns[name]
    for name, values in columns.items():
        texts = list(dict.fromkeys(value for value in values if isinstance(value, str)))
        if texts and 2 * len(texts) < sum(isinstance(value, str) for value in values):
            places = {text: place for place, text in enumerate(texts)}
            columns[name] = [None if value is None else places[value] for value in values]
            words[name] = texts
    return {
        "names": list(columns),
        "words": words,
        "same": same,
        "rows": [list(row) for row in zip(*columns.values(), strict=True)],
    }


def _compact(value: Any) -> Any:
    """Return data with numbers of six digits, which is more than a screen shows."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case dict():
            return {key: _compact(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_compact(item) for item in value]
        case _:
            return value
