"""Factors as columns: what can be compared, what is dropped or merged, and what is nested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from llem_config.text import distinct
from llem_report._study_data.study_data import DroppedFactor, StudyFactor

_NOISE = "random_seed"

Levels = tuple[int | None, ...]


class Column(NamedTuple):
    """A factor over the points of a study."""

    key: str
    labels: tuple[str, ...]
    numeric: bool
    levels: Levels
    """Of each point: a position in `labels`; None where the factor does not exist."""


class Factors(NamedTuple):
    """The factors that can be compared."""

    factors: tuple[StudyFactor, ...]
    levels: tuple[Levels, ...]
    """Of each point, its level of each factor."""
    dropped: tuple[DroppedFactor, ...]


def comparable_factors(columns: Sequence[Column], n_points: int) -> Factors:
    """Return the factors with at least two levels.

    Factors that determine each other one to one are merged, because no study can tell their effects
    apart. The levels that no point has are left out.
    """
    kept, dropped = [], []
    for column in columns:
        used = _with_used_levels(column)
        if column.key == _NOISE and len(used.labels) > 1:
            reason = f"{_NOISE} is no choice: runs with different seeds show its effect as noise"
            dropped.append(DroppedFactor(key=column.key, reason=reason))
        elif len(used.labels) > 1:
            kept.append(used)
        else:
            left = f"has only one level left, {used.labels[0]}" if used.labels else "has no level"
            dropped.append(DroppedFactor(key=column.key, reason=f"{column.key} {left}"))
    merged = _merged(kept)
    factors = tuple(
        StudyFactor(
            key=column.key,
            levels=column.labels,
            numeric=column.numeric,
            nested_in=tuple(other.key for other in merged if _is_nested(column, other)),
        )
        for column in merged
    )
    rows = tuple(zip(*(column.levels for column in merged), strict=True))
    return Factors(factors, rows or ((),) * n_points, tuple(dropped))


def _with_used_levels(column: Column) -> Column:
    """Return a column with the levels that some point has, numbers in ascending order."""
    used = sorted({level for level in column.levels if level is not None})
    numeric = column.numeric and all(_is_number(column.labels[level]) for level in used)
    if numeric:
        used.sort(key=lambda level: float(column.labels[level]))
    position = {level: new for new, level in enumerate(used)}
    return Column(
        column.key,
        tuple(column.labels[level] for level in used),
        numeric,
        tuple(None if level is None else position[level] for level in column.levels),
    )


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:  # shortened
        return False


def _merged(columns: Sequence[Column]) -> list[Column]:
    """Return columns with those merged that split the points in the same way."""
    alike: dict[Levels, list[Column]] = {}
    for column in columns:
        alike.setdefault(_pattern(column.levels), []).append(column)
    return [_together(group) if len(group) > 1 else group[0] for group in alike.values()]


def _pattern(levels: Levels) -> Levels:
    """Return the levels numbered in the order in which they occur."""
    numbers: dict[int, int] = {}
    return tuple(
        None if level is None else numbers.setdefault(level, len(numbers)) for level in levels
    )


def _together(columns: Sequence[Column]) -> Column:
    """Return one column for several that always change together."""
    first = columns[0]
    labels = []
    for level in range(len(first.labels)):
        point = first.levels.index(level)
        labels.append("+".join(_part(column, point) for column in columns))
    key = "+".join(column.key for column in columns)
    return Column(key, distinct(labels), numeric=False, levels=first.levels)


def _part(column: Column, point: int) -> str:
    """Return the level of a point as part of a label: `sdpa`, `batch_size=8`, `no_torch_compile`."""
    level = column.levels[point]
    label = "" if level is None else column.labels[level]
    name = column.key.rpartition(".")[2]
    if label in ("true", "false"):
        return name if label == "true" else f"no_{name}"
    return f"{name}={label}" if column.numeric or label == "default" else label


def _is_nested(column: Column, other: Column) -> bool:
    """Return whether a factor exists at some levels of another one only."""
    if column is other or None not in column.levels:
        return False
    pairs = list(zip(column.levels, other.levels, strict=True))
    at_some = {at for level, at in pairs if level is not None and at is not None}
    return bool(at_some) and at_some != {at for _, at in pairs if at is not None}
