"""Reads the parts of a study file from its plain data and collects every fault.

A part with a fault is left out, so that the rest of the file is checked in the same pass.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any

from llem_config._loading.fault_list import FaultList
from llem_config._loading.fault_messages import describe_value, is_list, properties, unknown_part
from llem_config._loading.field_names import STUDY_KEYS, key_hint, value_hint
from llem_config._loading.layers import get, has, nested
from llem_config._loading.sweep import Alternative, Axis, Rule
from llem_config._loading.yaml_document import Document
from llem_config._loading.yaml_places import Route, spell
from llem_config._spec.capabilities import BACKENDS
from llem_config._spec.experiment import ExperimentConfig
from llem_config._spec.plugins import BROKEN_SECTIONS

_MAX_RULES = 1000  # every point is compared with every rule


@cache  # pydantic takes 16 ms to make it, and every key of a study file is looked up in it
def experiment_schema() -> dict[str, Any]:
    """Return the JSON schema of an experiment: its fields and what they accept."""
    return ExperimentConfig.model_json_schema()


class Reader:
    """Reads parts of documents and keeps all their faults."""

    def __init__(self) -> None:
        self.faults = FaultList()

    def add(self, document: Document, route: Route, problem: str, *, at_key: bool = False) -> None:
        """Keep a fault at `route`."""
        if not self.faults.is_full or self.faults.is_new(document.file, route, problem):
            self.faults.add(document.fault(route, problem, at_key=at_key))

    def add_unknown(
        self, document: Document, place: Route, route: Route, other_keys: tuple[str, ...] = ()
    ) -> None:
        """Keep the fault of a key that is not the name of a field; see `problem_of`."""
        if self.faults.is_new(document.file, place, "unknown"):
            problem = self.problem_of(route, other_keys) or ""
            self.add(document, place, problem, at_key=True)

    def fields(
        self, document: Document, at: Route, data: Any, other_keys: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return a mapping of experiment fields, with its dotted keys nested.

        Args:
            document: contains the mapping.
            at: route of the mapping in the document.
            data: the mapping.
            other_keys: valid keys that are not fields; the result leaves them out.
        """
        if not isinstance(data, Mapping):
            self.add(
                document,
                at,
                f"expected a mapping of experiment fields, found {describe_value(data)}",
            )
            return {}
        result: dict[str, Any] = {}
        for key, value in data.items():
            if key in other_keys:
                continue
            route: Route = tuple(key.split("."))
            if unknown_part(experiment_schema(), route) is not None:
                self.add_unknown(document, (*at, key), route, other_keys)
                continue
            new = nested(route, value)
            taken = [leaf for leaf, item in leaves(new) if _is_taken(result, leaf, item)]
            for leaf in taken:
                place = (*at, key, *leaf[len(route) :])
                self.add(document, place, "this key is already set above; remove one", at_key=True)
            if not taken:
                _add_into(result, new)
        return result

    @staticmethod
    def problem_of(route: Route, other_keys: tuple[str, ...] = ()) -> str | None:
        """Return why a dotted key is not the name of a field, or None if it is."""
        position = unknown_part(experiment_schema(), route)
        if position is None:
            return None
        names = list(properties(experiment_schema(), route[:position]))
        if position == 0 and route[0] in other_keys and route[0] in ("execution", "sweep"):
            below = ".".join(str(part) for part in route[1:])
            return f"{route[0]} has no dotted keys; write `{below}: ...` in the section {route[0]}"
        if position == 0 and route[0] in STUDY_KEYS and route[0] not in other_keys:
            return f"{route[0]} belongs to the study as a whole, not to an experiment"
        if position == 0:
            return f"unknown key {describe_value(route[0])}{key_hint(route[:1], [*names, *other_keys])}"
        parent = ".".join(str(part) for part in route[:position])
        if not names:
            return f"{parent} is a single value and has no key {describe_value(route[position])}"
        hint = key_hint(route[: position + 1], names)
        return f"{parent} has no key {describe_value(route[position])}{hint}"

    def axes(self, document: Document) -> list[Axis]:
        """Return the axes of `sweep`, in file order."""
        sweep = document.data.get("sweep", {})
        if "sweep" in document.data and (not isinstance(sweep, Mapping) or not sweep):
            self.add(
                document, ("sweep",), f"expected at least one axis, found {describe_value(sweep)}"
            )
            return []
        candidates = [self._axis(document, key, values) for key, values in sweep.items()]
        axes = [axis for axis in candidates if axis is not None]
        setters: dict[Route, str] = {}
        above: dict[Route, str] = {}
        for axis in axes:
            routes = _exclusive_routes(axis)
            if (earlier := _overlapping(routes, setters, above)) is not None:
                problem = f"the axis {earlier} sets this field too; remove one"
                self.add(document, ("sweep", axis.key), problem, at_key=True)
            for route in routes:
                setters.setdefault(route, axis.key)
                for depth in range(1, len(route)):
                    above.setdefault(route[:depth], axis.key)
        return axes

    def _axis(self, document: Document, key: str, values: Any) -> Axis | None:
        at: Route = ("sweep", key)
        route: Route = tuple(key.split("."))
        is_field = unknown_part(experiment_schema(), route) is None
        if values is None or values == [] or values == {}:
            self.add(document, at, f"expected at least one value, found {describe_value(values)}")
            return None
        items = values if isinstance(values, list) else [values]
        places = [(*at, i) for i in range(len(items))] if isinstance(values, list) else [at]
        if is_field:
            return Axis(
                key,
                tuple(
                    Alternative(nested(route, item), place, len(route))
                    for item, place in zip(items, places, strict=True)
                ),
            )
        if not self._is_group(key, items):
            self.add_unknown(document, at, route)
            return None
        alternatives = []
        for item, place in zip(items, places, strict=True):
            data = self.fields(document, place, item)
            if "backend" in data:
                self.add(document, (*place, "backend"), "a group may not set the backend")
            alternatives.append(Alternative(data, place, 0))
        return Axis(key, tuple(alternatives))

    def _is_group(self, key: str, items: list[Any]) -> bool:
        """Return whether a key is a group: alternatives that set several fields together.

        A misspelt section (`decodr: [{temperature: 0}]`) looks like a group. The key is a group
        only if its mappings set fields, or if its name is not similar to the name of a field.
        """
        mappings = [item for item in items if isinstance(item, Mapping)]
        if "." in key or not mappings:
            return False
        first = {str(name).split(".")[0] for item in mappings for name in item}
        fields = ExperimentConfig.model_fields
        return bool(first & set(fields)) or not difflib.get_close_matches(key, fields, 1, 0.6)

    def rules(self, document: Document) -> list[Rule]:
        """Return the rules of `exclude`."""
        entries = document.data.get("exclude", [])
        if not isinstance(entries, list):
            self.add(
                document, ("exclude",), f"expected a list of rules, found {describe_value(entries)}"
            )
            return []
        if "exclude" in document.data and "sweep" not in document.data:
            self.add(
                document, ("exclude",), "exclude drops points of a sweep; this file has no sweep"
            )
        if len(entries) > _MAX_RULES:
            problem = f"expected at most {_MAX_RULES} rules, found {len(entries)}"
            self.add(document, ("exclude",), problem)
            return []
        rules = []
        for position, entry in enumerate(entries):
            at: Route = ("exclude", position)
            if not isinstance(entry, Mapping) or not entry:
                self.add(
                    document, at, f"expected a mapping of fields, found {describe_value(entry)}"
                )
                continue
            data = self.fields(document, at, entry)
            if self._has_list(document, at, data):
                continue
            if isinstance(data.get("dataset"), str):
                data["dataset"] = {"source": data["dataset"]}  # as in a validated experiment
            rules.append(Rule(data, at, tuple(leaves(data))))
        return [rule for rule in rules if rule.conditions]

    def _has_list(self, document: Document, at: Route, data: Mapping[str, Any]) -> bool:
        """Return whether a rule has a list for a field of single values, and add a fault for each."""
        lists = [
            (route, value)
            for route, value in leaves(data)
            if isinstance(value, list) and not is_list(experiment_schema(), route)
        ]
        for route, value in lists:
            rule = f"{spell(route)}: {value[0] if value else '...'}"
            problem = f"expected a single value, found a list; write one rule per value: `- {rule}`"
            self.add(document, (*at, *route), problem)
        return bool(lists)

    def entries(self, document: Document) -> list[tuple[Route, dict[str, Any]]]:
        """Return the explicit points of `experiments`, each with its route."""
        entries = document.data.get("experiments", [])
        if "experiments" in document.data and (not isinstance(entries, list) or not entries):
            expected = "at least one experiment" if entries == [] else "a list of experiments"
            problem = f"expected {expected}, found {describe_value(entries)}"
            self.add(document, ("experiments",), problem)
            return []
        places: list[Route] = [("experiments", position) for position in range(len(entries))]
        return [
            (at, self.fields(document, at, entry))
            for at, entry in zip(places, entries, strict=True)
        ]

    def backends(self, document: Document, route: Route, value: Any) -> list[str]:
        """Return the backends that a value of `backend` names."""
        names = value if isinstance(value, list) else [value]
        if not names:
            self.add(document, route, "expected at least one backend, found an empty list")
        for position, name in enumerate(names):
            if name not in BACKENDS:
                place = (*route, position) if isinstance(value, list) else route
                problem = f"expected one of {', '.join(BACKENDS)}, found {describe_value(name)}"
                hint = value_hint("backend", name, BACKENDS)
                if isinstance(name, str) and name in BROKEN_SECTIONS:
                    hint = f"; the section of its package cannot be used: {BROKEN_SECTIONS[name]}"
                self.add(document, place, problem + hint)
        return list(dict.fromkeys(name for name in names if name in BACKENDS))


def _add_into(data: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Add nested values to `data` in place: a copy for each key would take quadratic time."""
    for key, value in new.items():
        below = data.get(key)
        if isinstance(value, Mapping) and isinstance(below, dict):
            _add_into(below, value)
        else:
            data[key] = _own_copy(value)


def _own_copy(value: Any) -> Any:
    """Return a value whose mappings can be changed without changing the document."""
    if isinstance(value, Mapping):
        return {key: _own_copy(item) for key, item in value.items()}
    return value


def overlap(left: Route, right: Route) -> bool:
    """Return whether two routes are the same, or one leads through the other."""
    length = min(len(left), len(right))
    return left[:length] == right[:length]


def _overlapping(
    routes: set[Route], setters: Mapping[Route, str], above: Mapping[Route, str]
) -> str | None:
    """Return an axis that sets one of the routes, a part of it or what is below it; else None.

    Args:
        routes: of a later axis.
        setters: the axis of each route.
        above: an axis below each route that leads to one.
    """
    for route in sorted(routes, key=str):
        for depth in range(1, len(route) + 1):
            if route[:depth] in setters:
                return setters[route[:depth]]
        if route in above:
            return above[route]
    return None


def _exclusive_routes(axis: Axis) -> set[Route]:
    """Return the fields that no other axis may set; a group has none, since it may fix any."""
    if not axis.alternatives[0].n_covered:
        return set()
    return {route for item in axis.alternatives for route, _ in leaves(item.data)}


def _is_taken(data: Mapping[str, Any], route: Route, value: Any) -> bool:
    """Return whether setting `route` would overwrite a value of `data`."""
    for depth in range(1, len(route)):
        if not has(data, route[:depth]):
            return False
        above = get(data, route[:depth])
        if not isinstance(above, Mapping):
            return above is not None  # `pytorch:` without a value sets nothing
    return has(data, route) and not (value == {} and isinstance(get(data, route), Mapping))


def leaves(data: Mapping[str, Any], route: Route = ()) -> list[tuple[Route, Any]]:
    """Return every value that is not a mapping, with its route."""
    result: list[tuple[Route, Any]] = []
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            result += leaves(value, (*route, key))
        else:
            result.append(((*route, key), value))
    return result
