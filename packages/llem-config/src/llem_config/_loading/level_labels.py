"""Short labels for the levels of a factor: `bf16`, `8`, `sdpa+torch_compile`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llem_config._loading.yaml_places import Route
from llem_config.text import distinct

Fields = Mapping[Route, Any]
"""The values of a level, by the route of the field."""


def level_labels(levels: Sequence[Fields]) -> tuple[str, ...]:
    """Return one label per level, all different and safe to show.

    A label has the values of the fields in which the levels differ. If no field differs at a level,
    it has the values of all fields.
    """
    routes = list(dict.fromkeys(route for fields in levels for route in fields))
    if field := _single_field(levels, routes):
        return distinct([_word(fields.get(field)) for fields in levels])
    differing = [route for route in routes if not _is_common(levels, route)]
    names = _names(differing or routes)
    labels = ["+".join(_parts(fields, names)) for fields in levels]
    if "" in labels:
        names = _names(routes)
        labels = ["+".join(_parts(fields, names)) or "default" for fields in levels]
    if len(set(labels)) < len(labels):
        labels = ["+".join(_named(fields, names)) or "default" for fields in levels]
    return distinct(labels)


def are_numbers(levels: Sequence[Fields]) -> bool:
    """Return whether each level is one number of the same field, so that its label is a number."""
    routes = list(dict.fromkeys(route for fields in levels for route in fields))
    field = _single_field(levels, routes)
    return field is not None and all(is_number(fields.get(field)) for fields in levels)


def is_number(value: object) -> bool:
    """Return whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _single_field(levels: Sequence[Fields], routes: Sequence[Route]) -> Route | None:
    """Return the only field in which the levels differ, if its value alone is the best label."""
    if len(routes) == 1:
        return routes[0]
    differing = [route for route in routes if not _is_common(levels, route)]
    if len(differing) != 1 or any(differing[0] not in fields for fields in levels):
        return None
    is_switch = any(isinstance(fields[differing[0]], bool) for fields in levels)
    return None if is_switch else differing[0]


def _is_common(levels: Sequence[Fields], route: Route) -> bool:
    values = {repr(fields[route]) if route in fields else None for fields in levels}
    return len(values) == 1


def _names(routes: Sequence[Route]) -> dict[Route, str]:
    """Return the last part of each route, or the whole route if another one ends with it too."""
    ends = [route[-1] for route in routes]
    return {
        route: ".".join(map(str, route if ends.count(route[-1]) > 1 else route[-1:]))
        for route in routes
    }


def _parts(fields: Fields, names: Mapping[Route, str]) -> list[str]:
    return [_part(route, name, fields[route]) for route, name in names.items() if route in fields]


def _part(route: Route, name: str, value: Any) -> str:
    is_no_section = value is None and len(route) == 1
    if isinstance(value, bool) or is_no_section:
        return name if value else f"no_{name}"
    return value if isinstance(value, str) and value else f"{name}={_word(value)}"


def _named(fields: Fields, names: Mapping[Route, str]) -> list[str]:
    return [f"{name}={_word(fields[route])}" for route, name in names.items() if route in fields]


def _word(value: Any) -> str:
    match value:
        case None:
            return "default"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return "+".join(map(_word, value)) or "[]"
        case Mapping():
            return "{" + ", ".join(f"{key}: {_word(item)}" for key, item in value.items()) + "}"
        case _:
            return str(value)
