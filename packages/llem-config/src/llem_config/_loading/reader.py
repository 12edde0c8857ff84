"""The parts of a study file, read from its plain data; every fault is collected, none raised.

A part with a fault is left out, so that the rest of the file is still checked in the same pass.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any

from llem_config._errors import Fault
from llem_config._loading.fault_messages import found, properties, unknown_part
from llem_config._loading.layers import get, has, merge, nested
from llem_config._loading.suggest import did_you_mean
from llem_config._loading.sweep import Alternative, Axis, Rule
from llem_config._loading.yaml_document import Document, Route
from llem_config._spec.capabilities import BACKENDS
from llem_config._spec.experiment import ExperimentConfig
from llem_config._spec.plugins import BROKEN_SECTIONS

STUDY_KEYS = ("name", "base", "sweep", "experiments", "exclude", "execution", "max_experiments")


@cache  # pydantic takes 16 ms to make it, and every key of a study file is looked up in it
def experiment_schema() -> dict[str, Any]:
    """Return the JSON schema of an experiment: which routes exist and what they accept."""
    return ExperimentConfig.model_json_schema()


class Reader:
    """Reads parts of documents and keeps the faults of all of them."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, document: Document, route: Route, problem: str, *, at_key: bool = False) -> None:
        """Keep one fault."""
        self.faults.append(document.fault(route, problem, at_key=at_key))

    def fields(
        self, document: Document, at: Route, data: Any, known: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return a mapping of experiment fields with its dotted keys nested.

        Args:
            document: where the mapping stands.
            at: the mapping's route in it.
            data: the mapping.
            known: other keys that are allowed beside the fields; they are left out.
        """
        if not isinstance(data, Mapping):
            self.add(document, at, f"expected a mapping of experiment fields, found {found(data)}")
            return {}
        result: dict[str, Any] = {}
        for key, value in data.items():
            if key in known:
                continue
            route: Route = tuple(key.split("."))
            problem = self.problem_of(route, known)
            if problem is not None:
                self.add(document, (*at, key), problem, at_key=True)
                continue
            new = nested(route, value)
            taken = [leaf for leaf, item in leaves(new) if _is_taken(result, leaf, item)]
            for leaf in taken:
                place = (*at, key, *leaf[len(route) :])
                self.add(document, place, "this key is already set above; remove one", at_key=True)
            if not taken:
                result = merge(result, new)
        return result

    @staticmethod
    def problem_of(route: Route, known: tuple[str, ...] = ()) -> str | None:
        """Return why a dotted key leads nowhere, or None if it leads to a field."""
        position = unknown_part(experiment_schema(), route)
        if position is None:
            return None
        names = list(properties(experiment_schema(), route[:position]))
        if position == 0 and route[0] in STUDY_KEYS and route[0] not in known:
            return f"{route[0]} belongs to the study as a whole, not to an experiment"
        if position == 0:
            return f"unknown key {route[0]!r}{did_you_mean(route[0], [*names, *known])}"
        parent = ".".join(str(part) for part in route[:position])
        if not names:
            return f"{parent} is a single value and has no key {route[position]!r}"
        hint = did_you_mean(route[position], names)
        return f"{parent} has no key {route[position]!r}{hint}"

    def axes(self, document: Document) -> list[Axis]:
        """Return the axes of `sweep`, in file order."""
        sweep = document.data.get("sweep", {})
        if "sweep" in document.data and (not isinstance(sweep, Mapping) or not sweep):
            self.add(document, ("sweep",), f"expected at least one axis, found {found(sweep)}")
            return []
        read = [self._axis(document, key, values) for key, values in sweep.items()]
        axes = [axis for axis in read if axis is not None]
        routes = [_routes(axis) for axis in axes]
        for position, axis in enumerate(axes):
            for earlier, taken in zip(axes[:position], routes[:position], strict=True):
                if any(overlap(a, b) for a in taken for b in routes[position]):
                    problem = f"the axis {earlier.key} sets this field too; remove one"
                    self.add(document, ("sweep", axis.key), problem, at_key=True)
        return axes

    def _axis(self, document: Document, key: str, values: Any) -> Axis | None:
        at: Route = ("sweep", key)
        route: Route = tuple(key.split("."))
        problem = self.problem_of(route)
        if values is None or values == [] or values == {}:
            self.add(document, at, f"expected at least one value, found {found(values)}")
            return None
        items = values if isinstance(values, list) else [values]
        places = [(*at, i) for i in range(len(items))] if isinstance(values, list) else [at]
        if problem is None:
            return Axis(
                key,
                tuple(
                    Alternative(nested(route, item), place, len(route))
                    for item, place in zip(items, places, strict=True)
                ),
            )
        if not self._is_group(key, items):
            self.add(document, at, problem, at_key=True)
            return None
        alternatives = []
        for item, place in zip(items, places, strict=True):
            data = self.fields(document, place, item)
            if "backend" in data:
                self.add(document, (*place, "backend"), "a group may not set the backend")
            alternatives.append(Alternative(data, place, 0))
        return Axis(key, tuple(alternatives))

    def _is_group(self, key: str, items: list[Any]) -> bool:
        """Tell whether a key that is no field names alternatives that set several fields.

        A misspelt section (`decodr: [{temperature: 0}]`) looks like a group too. It is one only
        if what it holds are fields, or its name is unlike every section's.
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
            self.add(document, ("exclude",), f"expected a list of rules, found {found(entries)}")
            return []
        if "exclude" in document.data and "sweep" not in document.data:
            self.add(document, ("exclude",), "exclude drops points of a sweep, but there is none")
        rules = []
        for position, entry in enumerate(entries):
            at: Route = ("exclude", position)
            if not isinstance(entry, Mapping) or not entry:
                self.add(document, at, f"expected a mapping of fields, found {found(entry)}")
                continue
            data = self.fields(document, at, entry)
            if isinstance(data.get("dataset"), str):
                data["dataset"] = {"source": data["dataset"]}  # as a completed point has it
            rules.append(Rule(data, at, tuple(leaves(data))))
        return [rule for rule in rules if rule.conditions]

    def entries(self, document: Document) -> list[tuple[Route, dict[str, Any]]]:
        """Return the explicit points of `experiments` and where each stands."""
        entries = document.data.get("experiments", [])
        if "experiments" in document.data and (not isinstance(entries, list) or not entries):
            problem = f"expected a list of experiments, found {found(entries)}"
            self.add(document, ("experiments",), problem)
            return []
        places: list[Route] = [("experiments", position) for position in range(len(entries))]
        return [
            (at, self.fields(document, at, entry))
            for at, entry in zip(places, entries, strict=True)
        ]

    def backends(self, document: Document, route: Route, value: Any) -> list[str]:
        """Return the backends that `backend:` names, one or several."""
        names = value if isinstance(value, list) else [value]
        if not names:
            self.add(document, route, "expected at least one backend, found an empty list")
        for position, name in enumerate(names):
            if name not in BACKENDS:
                place = (*route, position) if isinstance(value, list) else route
                problem = f"expected one of {', '.join(BACKENDS)}, found {found(name)}"
                hint = did_you_mean(name, BACKENDS)
                if isinstance(name, str) and name in BROKEN_SECTIONS:
                    hint = f"; the section of its package cannot be used: {BROKEN_SECTIONS[name]}"
                self.add(document, place, problem + hint)
        return list(dict.fromkeys(name for name in names if name in BACKENDS))


def overlap(left: Route, right: Route) -> bool:
    """Tell whether two routes are the same or one leads through the other."""
    length = min(len(left), len(right))
    return left[:length] == right[:length]


def _routes(axis: Axis) -> set[Route]:
    """Return the fields that no other axis may set: none for a group, which may pin any."""
    if not axis.alternatives[0].n_covered:
        return set()
    return {route for item in axis.alternatives for route, _ in leaves(item.data)}


def _is_taken(data: Mapping[str, Any], route: Route, value: Any) -> bool:
    """Tell whether setting `route` would overwrite something of `data`."""
    for depth in range(1, len(route)):
        if not has(data, route[:depth]):
            return False
        above = get(data, route[:depth])
        if not isinstance(above, Mapping):
            return above is not None  # `pytorch:` with nothing below it sets nothing
    return has(data, route) and not (value == {} and isinstance(get(data, route), Mapping))


def leaves(data: Mapping[str, Any], route: Route = ()) -> list[tuple[Route, Any]]:
    """Return every value that is no mapping, with its route."""
    result: list[tuple[Route, Any]] = []
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            result += leaves(value, (*route, key))
        else:
            result.append(((*route, key), value))
    return result
