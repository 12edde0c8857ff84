"""A pydantic error as one sentence: what was expected, what was found, and a suggestion.

What a field expects comes from its JSON schema, so that it is defined once, in the models.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from llem_config._loading.field_names import key_hint, value_hint
from llem_config._loading.next_steps import next_step
from llem_config._loading.suggest import did_you_mean, listed
from llem_config._loading.yaml_places import Route
from llem_config.credentials import struck_out
from llem_config.text import one_line, shortened

_NAMES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
}
_BOUNDS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
}
_WITHIN: dict[str, Callable[[float, float], bool]] = {
    "minimum": operator.ge,
    "exclusiveMinimum": operator.gt,
    "maximum": operator.le,
    "exclusiveMaximum": operator.lt,
}
_MAX_CHARACTERS = 60
_MAX_STRUCK = 10_000  # characters that are searched for passwords
_HIGH = 1000
"""A limit from here up only prevents absurd values; a message names it if a value exceeds it."""
_SECTIONS: dict[str, Route] = {"ExperimentConfig": (), "ExecutionConfig": ("execution",)}
"""Where a model is in a study file, by its title; the settings are in none."""


def describe_error(error: Mapping[str, Any], schema: Mapping[str, Any], route: Route) -> str:
    """Return the message for one pydantic error.

    Args:
        error: an item of `ValidationError.errors()`.
        schema: JSON schema of the model.
        route: of the wrong value, below the model.
    """
    kind = str(error["type"])
    if kind.startswith("llem_"):
        return str(error["msg"])
    if kind == "extra_forbidden":
        section = _SECTIONS.get(str(schema.get("title")))
        names = properties(schema, route[:-1])
        hint = (
            did_you_mean(route[-1], names) or listed(names)
            if section is None
            else key_hint((*section, *route), names)
        )
        return f"unknown key {describe_value(route[-1])}{hint}"
    if kind == "missing":
        return f"required, but missing; write `{route[-1]}: ...`"
    value = error["input"]
    expected = expectation(schema, route, value)
    if expected is None:
        return str(error["msg"])
    hint = value_hint(_field(route), value, choices(schema, route))
    hint = hint or next_step(
        route,
        value,
        is_list=is_list(schema, route),
        items=tuple(choices(schema, (*route, 0))),
        accepts=lambda number: accepts_number(schema, route, number),
    )
    return f"expected {expected}, found {describe_value(value)}{hint}"


def _field(route: Route) -> str | int:
    """Return the name of the field that has a value, also for a value in a list."""
    return next((part for part in reversed(route) if isinstance(part, str)), "")


def describe_value(value: object) -> str:
    """Return a value as a person writes it in YAML; of a list or mapping, only its kind."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case Mapping():
            return "a mapping" if value else "an empty mapping"
        case str():
            text = repr(shortened(struck_out(value[:_MAX_STRUCK]), _MAX_CHARACTERS))
        case Sequence():
            return "a list" if value else "an empty list"
        case _:
            text = repr(value)
    return one_line(text, _MAX_CHARACTERS)


def properties(schema: Mapping[str, Any], route: Route) -> Mapping[str, Any]:
    """Return the valid keys below a route; empty if any key is valid there."""
    merged: dict[str, Any] = {}
    for branch in _branches_at(schema, route):
        merged.update(branch.get("properties", {}))
    return merged


def choices(schema: Mapping[str, Any], route: Route) -> Iterator[str]:
    """Yield the names that a field accepts; none if it accepts any text."""
    for branch in _branches_at(schema, route):
        yield from (str(name) for name in branch.get("enum", ()))


def is_list(schema: Mapping[str, Any], route: Route) -> bool:
    """Return whether a field accepts a list."""
    branches = _branches_at(schema, route)
    return any(not branch or branch.get("type") == "array" for branch in branches)


def accepts_number(schema: Mapping[str, Any], route: Route, number: float) -> bool:
    """Return whether a field accepts a number, by its kind and its limits."""
    return any(
        branch.get("type") == "number" or (branch.get("type") == "integer" and number.is_integer())
        for branch in _branches_at(schema, route)
        if all(
            is_within(number, branch[key]) for key, is_within in _WITHIN.items() if key in branch
        )
    )


def expectation(schema: Mapping[str, Any], route: Route, value: object) -> str | None:
    """Return what a field accepts, e.g. `a whole number >= 1`; None if there is no such field.

    Args:
        schema: JSON schema of the model.
        route: of the field, below the model.
        value: what was found; a limit that it is far from is left out.
    """
    parts = [_describe(branch, value) for branch in _branches_at(schema, route)]
    return " or ".join(dict.fromkeys(part for part in parts if part)) or None


def unknown_part(schema: Mapping[str, Any], route: Route) -> int | None:
    """Return the position of the first part of a route that is not a valid key, or None."""
    for depth in range(1, len(route) + 1):
        if not list(_branches_at(schema, route[:depth])):
            return depth - 1
    return None


def _branches_at(schema: Mapping[str, Any], route: Route) -> Iterator[Mapping[str, Any]]:
    """Yield every alternative that the schema allows at a route, except null."""
    branches = list(_branches(schema, schema))
    for part in route:
        step: list[Mapping[str, Any]] = []
        for branch in branches:
            child = _child(branch, part)
            if child is not None:
                step += _branches(schema, child)
        branches = step
    yield from branches


def _branches(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in schema:
        yield from _branches(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for branch in schema["anyOf"]:
            yield from _branches(root, branch)
    elif schema.get("type") != "null":
        yield schema


def _child(schema: Mapping[str, Any], part: str | int) -> Mapping[str, Any] | None:
    if isinstance(part, int):
        items = schema.get("items")
        return items if isinstance(items, Mapping) else None
    child = schema.get("properties", {}).get(part)
    if child is not None:
        return child  # type: ignore[no-any-return]  # a JSON schema is a tree of mappings
    free = schema.get("additionalProperties", False)
    if free is True or (free is False and not schema):
        return {}  # any value is valid below this
    return free if isinstance(free, Mapping) else None


def _describe(schema: Mapping[str, Any], value: object = None) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(str(name) for name in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    name = _NAMES.get(schema.get("type", ""), "")
    if schema.get("type") == "integer" and "exclusiveMinimum" in schema:
        schema = {**schema, "minimum": schema["exclusiveMinimum"] + 1}
        del schema["exclusiveMinimum"]  # "a whole number >= 1" is clearer than "> 0"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    bounds = [
        f"{sign} {schema[key]:.15g}"
        for key, sign in _BOUNDS.items()
        if key in schema and (schema[key] < _HIGH or (is_number and value >= schema[key]))
    ]
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        inner = _describe(schema["items"])
        name = f"a list, each {inner}" if inner else name
    if "pattern" in schema:
        name += f" that matches {schema['pattern']}"
    return " ".join([name, " and ".join(bounds)]).strip()
