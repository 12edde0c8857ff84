"""The factors of a study file: which level of each axis every point has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llem_config._loading.layers import SHORT_FORMS, get, has
from llem_config._loading.level_labels import Fields, are_numbers, level_labels
from llem_config._loading.reader import leaves
from llem_config._loading.sweep import Alternative, Axis, field_value
from llem_config._loading.yaml_places import Route
from llem_config._spec.decoder import PRESETS
from llem_config._spec.experiment import ExperimentConfig
from llem_config._spec.factors import Factor, LevelRow
from llem_config.text import distinct

_PRESET: Route = ("decoder", "preset")


class Factors:
    """Finds the levels of the points of one study file.

    Args:
        backends: of the grid; they are the first factor if there are several.
        axes: of the sweep, without the axis `backend`.
        sweeps_backend: whether the sweep has the axis `backend`, which may have one value.
    """

    def __init__(
        self, backends: Sequence[str], axes: Sequence[Axis], *, sweeps_backend: bool
    ) -> None:
        if sweeps_backend or len(backends) > 1:
            names = tuple(Alternative({"backend": name}, (), 1) for name in backends)
            axes = [Axis("backend", names), *axes]
        self._axes = [_AxisLevels(axis) for axis in axes]

    def rows(self, backend: str) -> Iterator[LevelRow]:
        """Yield the levels of each point of the grid of a backend, in the order of the grid."""
        return itertools.product(*(axis.of_grid(backend) for axis in self._axes))

    def row(self, entry: Mapping[str, Any], config: ExperimentConfig) -> LevelRow:
        """Return the levels of an explicit point.

        Args:
            entry: the point as written, without the other layers.
            config: the validated point.
        """
        return tuple(axis.of_entry(entry, config) for axis in self._axes)

    def factors(self) -> tuple[Factor, ...]:
        """Return the factors, with the levels that only explicit points have."""
        keys = distinct(axis.key for axis in self._axes)
        return tuple(axis.factor(key) for key, axis in zip(keys, self._axes, strict=True))


class _AxisLevels:
    """The levels of one axis: its alternatives, each once, then those of explicit points."""

    def __init__(self, axis: Axis) -> None:
        self.key = axis.key
        self._alternatives = axis.alternatives
        self._levels: list[Fields] = []
        positions: dict[Any, int] = {}
        self._level_of = [self._add(_fields(item.data), positions) for item in axis.alternatives]
        """The level of each alternative; equal alternatives are one level."""
        routes = dict.fromkeys(route for fields in self._levels for route in fields)
        self._routes = tuple(routes)
        self._new: dict[Any, int] = {}
        self._matchers: dict[str, _Matcher | None] = {}

    def of_grid(self, backend: str) -> tuple[int | None, ...]:
        """Return the levels in the grid of a backend in file order, or (None,) if it has none."""
        return tuple(level for level, _ in self._for_backend(backend)) or (None,)

    def of_entry(self, entry: Mapping[str, Any], config: ExperimentConfig) -> int | None:
        """Return the level of an explicit point, which may be a new one; None if it has none."""
        backend = config.backend
        if backend not in self._matchers:
            levels = self._for_backend(backend)
            self._matchers[backend] = _Matcher(levels) if levels else None
        matcher = self._matchers[backend]
        if matcher is None and self.key != "backend":
            return None
        if matcher is not None and (level := matcher.level(entry, config)) is not None:
            return level
        if all(_is_absent(route, config) for route in self._routes):
            return None
        fields = _values(self._routes, entry, config)
        if not fields and matcher is not None:  # a preset is replaced by its fields
            fields = _values(matcher.routes, entry, config)
        return self._add(fields, self._new)

    def factor(self, key: str) -> Factor:
        """Return the factor with the labels of its levels."""
        labels, numeric = level_labels(self._levels), are_numbers(self._levels)
        return Factor(key=key, levels=labels, numeric=numeric)

    def _add(self, fields: Fields, positions: dict[Any, int]) -> int:
        """Return the position of a level; it is added if `positions` does not have it."""
        identity = frozenset((route, _key(value)) for route, value in fields.items())
        level = positions.setdefault(identity, len(self._levels))
        if level == len(self._levels):
            self._levels.append(fields)
        return level

    def _for_backend(self, backend: str) -> list[tuple[int, Mapping[str, Any]]]:
        """Return the alternatives of a backend: each level with the fields that it sets there."""
        parts = [
            (level, item.for_backend(backend))
            for level, item in zip(self._level_of, self._alternatives, strict=True)
        ]
        return [
            (level, part.data)
            for level, part in parts
            if part is not None and part.data.get("backend", backend) == backend
        ]


class _Matcher:
    """Finds the alternative whose fields a point has, all of them; the most specific one wins."""

    def __init__(self, alternatives: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        self._by_routes: dict[tuple[Route, ...], dict[Any, int]] = {}
        for level, data in alternatives:
            fields = _without_preset(_fields(data))
            values = tuple(map(_key, fields.values()))
            self._by_routes.setdefault(tuple(fields), {}).setdefault(values, level)
        self._default = self._by_routes.pop((), {}).get(())
        """The level of an alternative that sets nothing."""
        self._order = sorted(self._by_routes, key=len, reverse=True)
        self.routes = tuple(dict.fromkeys(route for routes in self._order for route in routes))

    def level(self, entry: Mapping[str, Any], config: ExperimentConfig) -> int | None:
        """Return the level of a point; None if it has the fields of no alternative."""
        for routes in self._order:
            values = tuple(_key(field_value(config, route)) for route in routes)
            if (level := self._by_routes[routes].get(values)) is not None:
                return level
        return None if any(has(entry, route) for route in self.routes) else self._default


def _fields(data: Mapping[str, Any]) -> dict[Route, Any]:
    """Return the values that an alternative sets; a section in its short form is spelt out."""
    fields = {}
    for route, value in leaves(data):
        is_short = isinstance(value, str) and len(route) == 1 and route[0] in SHORT_FORMS
        if value != {}:
            fields[(*route, SHORT_FORMS[str(route[0])]) if is_short else route] = value
    return fields


def _without_preset(fields: Fields) -> Fields:
    """Return fields as an experiment has them after validation: without a preset."""
    preset = fields.get(_PRESET)
    if not isinstance(preset, str) or preset not in PRESETS:
        return fields
    result: dict[Route, Any] = {("decoder", key): value for key, value in PRESETS[preset].items()}
    return result | {route: value for route, value in fields.items() if route != _PRESET}


def _values(
    routes: Sequence[Route], entry: Mapping[str, Any], config: ExperimentConfig
) -> dict[Route, Any]:
    """Return the values of a point, without those that are not set."""
    fields: dict[Route, Any] = {}
    for route in routes:
        value = get(entry, route) if has(entry, route) else field_value(config, route)
        below = leaves(value) if isinstance(value, Mapping) else [((), value)]
        fields |= {(*route, *rest): item for rest, item in below if item is not None}
    return fields


def _is_absent(route: Route, config: ExperimentConfig) -> bool:
    """Return whether a point has no section for a field, such as `lora.adapter` without LoRA."""
    section = str(route[0])
    if len(route) == 1 or section == config.backend:
        return False
    return getattr(config, section, None) is None


def _key(value: Any) -> Any:
    """Return a value that can be a key; True == 1 in Python, but `true` is not `1` in a file."""
    if isinstance(value, bool):
        return (value,)
    if value is None or isinstance(value, int | float | str):
        return value
    return ("", repr(value))
