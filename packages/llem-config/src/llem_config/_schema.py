"""The JSON schema of a study file, for editors: fields, sweeps and dotted keys."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from llem_config._read import experiment_schema
from llem_config._study import NAME_PATTERN, ExecutionConfig
from llem_config._support import BACKENDS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def study_json_schema() -> dict[str, Any]:
    """Return a JSON schema (draft 2020-12) that a study file has to meet.

    It knows every key and the type of every value. What depends on several values at once (a
    section for another backend, a combination that cannot run) only `load_study` knows.
    """
    experiment = copy.deepcopy(experiment_schema())
    definitions = experiment.pop("$defs")
    execution = ExecutionConfig.model_json_schema(by_alias=False)
    definitions.update(execution.pop("$defs", {}))
    gap = execution["properties"]["config_gap_seconds"]
    execution["properties"]["experiment_gap_seconds"] = gap
    fields = dict(_dotted((), experiment, definitions))
    entry = {"type": "object", "properties": fields, "additionalProperties": False}
    definitions |= {"ExecutionConfig": execution, "Entry": entry}
    entries = {"type": "array", "items": {"$ref": "#/$defs/Entry"}, "minItems": 1}
    axes = {key: _axis(value) for key, value in fields.items()}
    backend = {"type": "array", "items": {"enum": list(BACKENDS)}, "minItems": 1}
    return {
        "$schema": _DIALECT,
        "title": "llem study",
        "type": "object",
        "properties": {
            **fields,
            "backend": {"anyOf": [fields["backend"], backend]},
            "name": {"type": "string", "pattern": NAME_PATTERN},
            "base": {"type": "string"},
            "sweep": {
                "type": "object",
                "minProperties": 1,
                "properties": axes,
                # Any other key is a group: alternatives that set several fields together.
                "additionalProperties": {"anyOf": [entries, {"$ref": "#/$defs/Entry"}]},
            },
            "experiments": entries,
            "exclude": {**entries, "minItems": 0},
            "execution": {"$ref": "#/$defs/ExecutionConfig"},
            "max_experiments": {"type": "integer", "minimum": 1},
        },
        "additionalProperties": False,
        "$defs": definitions,
    }


def _axis(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"type": "array", "items": value, "minItems": 1}, value]}


def _dotted(
    route: tuple[str, ...], schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield every field below a schema as a dotted key with the schema of its value."""
    for name, value in schema.get("properties", {}).items():
        yield ".".join((*route, name)), value
        for branch in value.get("anyOf", [value]):
            reference = branch.get("$ref", "").rpartition("/")[2]
            if reference:
                yield from _dotted((*route, name), definitions[reference], definitions)
