"""Factors from the fields in which the points of a study differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llem_config import BACKENDS
from llem_config.text import distinct
from llem_report._study_data.level_columns import Column

_SAMPLING_ONLY = ("decoder.top_k", "decoder.top_p", "decoder.min_p")
"""Fields that greedy decoding ignores."""
_IMPLIED = "decoder.do_sample"
"""Always follows from the temperature."""
_UNSET = "default"


def columns_of_fields(configs: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return a column for every field in which points differ.

    Args:
        configs: of the points, as plain data without fields that are None.
    """
    points = [dict(_leaves(config)) for config in configs]
    keys = dict.fromkeys(key for point in points for key in point)
    left_out = {_IMPLIED} | ({"weights"} if all(map(_has_usual_weights, points)) else set())
    columns = (_column(key, points) for key in keys if key not in left_out)
    return [column for column in columns if len(set(column.levels)) > 1]


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None and f"{prefix}{key}" != "paths":
            yield f"{prefix}{key}", value


def _column(key: str, points: Sequence[Mapping[str, Any]]) -> Column:
    values: dict[str, Any] = {}
    positions: dict[str, int] = {}
    levels: list[int | None] = []
    for point in points:
        if not _exists(key, point):
            levels.append(None)
            continue
        identity = json.dumps(point[key], sort_keys=True, default=str) if key in point else _UNSET
        values.setdefault(identity, point.get(key))
        levels.append(positions.setdefault(identity, len(positions)))
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in values.values()]
    labels = distinct([_label(value) for value in values.values()])
    return Column(distinct([key])[0], labels, all(numbers), tuple(levels))


def _exists(key: str, point: Mapping[str, Any]) -> bool:
    """Return whether a field means anything at a point."""
    if not point:  # nothing is known of it
        return False
    section = key.partition(".")[0]
    if section in BACKENDS and key != section:
        return bool(section == point.get("backend"))
    return key in point or key not in _SAMPLING_ONLY or bool(point.get(_IMPLIED))


def _has_usual_weights(point: Mapping[str, Any]) -> bool:
    is_builtin = str(point.get("model", "")).startswith("builtin:")
    return point.get("weights") in (None, "random" if is_builtin else "pretrained")


def _label(value: object) -> str:
    match value:
        case None:
            return _UNSET
        case bool():
            return str(value).lower()
        case list():
            return "+".join(map(_label, value)) or "[]"
        case _:
            return str(value)
