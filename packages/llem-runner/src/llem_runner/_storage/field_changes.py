"""What differs between two sets of points, by field: `energy.min_window_seconds 1 -> 2`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llem_config import ExperimentConfig, canonical

_MAX_VALUES = 6
_MEASUREMENT = ("energy.", "warmup.", "baseline.")
"""Sections that say how a point is measured, not what."""


def field_changes(
    old: Sequence[ExperimentConfig], new: Sequence[ExperimentConfig], *, removed: bool = True
) -> list[str]:
    """Return a text for each field that has other values in `new` than in `old`.

    A field with one value on both sides is `key 1 -> 2`; else `key + 16` and `key - 8` name the values
    that only one side has.

    Args:
        old: points.
        new: points.
        removed: whether values that only `old` has count.
    """
    return list(_changes(old, new, removed=removed))


def measurement_changes(
    old: Sequence[ExperimentConfig], new: Sequence[ExperimentConfig]
) -> list[str]:
    """Return the changes of how points are measured: of energy, warm-up and baseline."""
    return [line for line in _changes(old, new, removed=False) if line.startswith(_MEASUREMENT)]


def _changes(
    old: Sequence[ExperimentConfig], new: Sequence[ExperimentConfig], *, removed: bool
) -> Iterator[str]:
    before, after = _values(old), _values(new)
    for key in dict.fromkeys([*before, *after]):
        # A field that a point does not set is left to the library.
        a, b = before.get(key, ["not set"]), after.get(key, ["not set"])
        added = [value for value in b if value not in a]
        gone = [value for value in a if value not in b] if removed else []
        if len(a) == len(b) == 1 and added:
            yield f"{key} {a[0]} -> {b[0]}"
            continue
        for sign, values in (("+", added), ("-", gone)):
            if values:
                more = f" and {len(values) - _MAX_VALUES} more" if len(values) > _MAX_VALUES else ""
                yield f"{key} {sign} {', '.join(values[:_MAX_VALUES])}{more}"


def _values(points: Sequence[ExperimentConfig]) -> dict[str, list[str]]:
    """Return the different values of each field, `not set` for points without it."""
    flat = [dict(_leaves(canonical(config))) for config in points]
    keys = dict.fromkeys(key for point in flat for key in point)
    return {key: list(dict.fromkeys(point.get(key, "not set") for point in flat)) for key in keys}


def _leaves(data: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value).lower() if isinstance(value, bool) else str(value)
