"""The JSON schema of a study file, for editors: fields, sweeps and dotted keys."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from llem_config._loading.points import MAX_EXPERIMENTS
from llem_config._loading.reader import experiment_schema
from llem_config._spec.capabilities import BACKENDS
from llem_config._spec.study import NAME_PATTERN, ExecutionConfig
from llem_config._spec.study_keys import STUDY_KEY_DESCRIPTIONS

MAY_BE_SWEPT = "May be swept."
"""The end of the description of each field of an experiment."""
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def study_json_schema() -> dict[str, Any]:
    """Return a JSON schema (draft 2020-12) for study files.

    It describes every key and the type of every value. Only `load_study` checks conditions on
    several values (a section for another backend, a combination that cannot run).
    """
    experiment = copy.deepcopy(experiment_schema())
    definitions = experiment.pop("$defs")
    for model in (experiment, *definitions.values()):
        for value in model.get("properties", {}).values():
            # pydantic leaves out a description that is the docstring of the section too.
            section = definitions.get(value.get("$ref", "").rpartition("/")[2], {})
            description = value.get("description") or section.get("description")
            if description:
                value["description"] = f"{description}\n\n{MAY_BE_SWEPT}"
    execution = ExecutionConfig.model_json_schema(by_alias=False)
    definitions.update(execution.pop("$defs", {}))
    gap = execution["properties"]["config_gap_seconds"]
    execution["properties"]["experiment_gap_seconds"] = gap
    execution["not"] = {"required": ["config_gap_seconds", "experiment_gap_seconds"]}
    fields = dict(_dotted((), experiment, definitions))
    below = {f"^{re.escape(key)}\\.": value for key, value in _free(fields)}
    entry = {
        "type": "object",
        "properties": fields,
        "patternProperties": below,
        "additionalProperties": False,
    }
    rule = {"allOf": [{"$ref": "#/$defs/Entry"}, {"minProperties": 1}]}
    alternative = {"allOf": [{"$ref": "#/$defs/Entry"}, {"not": {"required": ["backend"]}}]}
    definitions |= {"ExecutionConfig": execution, "Entry": entry}
    entries = {"type": "array", "items": {"$ref": "#/$defs/Entry"}, "minItems": 1}
    axes = {key: _axis(value) for key, value in fields.items()}
    backend = {"type": "array", "items": {"enum": list(BACKENDS)}, "minItems": 1}
    keys: dict[str, dict[str, Any]] = {
        "name": {"type": "string", "pattern": NAME_PATTERN},
        "base": {"type": "string"},
        "sweep": {
            "type": "object",
            "minProperties": 1,
            "properties": axes,
            "patternProperties": {key: _axis(value) for key, value in below.items()},
            # Any other key is a group: alternatives that set several fields together.
            "additionalProperties": {
                "anyOf": [{**entries, "items": alternative}, alternative],
            },
        },
        "experiments": entries,
        "exclude": {"type": "array", "items": rule},
        "execution": {"$ref": "#/$defs/ExecutionConfig"},
        "max_experiments": {"type": "integer", "minimum": 1, "default": MAX_EXPERIMENTS},
    }
    for key, description in STUDY_KEY_DESCRIPTIONS.items():
        keys[key] = {"description": description, **keys[key]}
    several = {"anyOf": [fields["backend"], backend]}
    return {
        "$schema": _DIALECT,
        "title": "llem study",
        "type": "object",
        "properties": {
            **fields,
            "backend": {"description": fields["backend"].get("description", ""), **several},
            **keys,
        },
        "patternProperties": below,
        "additionalProperties": False,
        "dependentRequired": {"exclude": ["sweep"]},
        "$defs": definitions,
    }


def _axis(value: Mapping[str, Any]) -> dict[str, Any]:
    values = {"type": "array", "items": value, "minItems": 1}
    kinds = [branch.get("type") for branch in value.get("anyOf", [value])]
    # A single value needs no list around it, unless it is a list itself.
    return values if "array" in kinds else {"anyOf": [values, value]}


def _free(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every field that accepts any key, with the schema of its values."""
    for key, value in fields.items():
        for branch in value.get("anyOf", [value]):
            if branch.get("additionalProperties"):
                below = branch["additionalProperties"]
                yield key, below if isinstance(below, dict) else {}


def _dotted(
    route: tuple[str, ...], schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield every field of a schema as a dotted key, with the schema of its value."""
    for name, value in schema.get("properties", {}).items():
        yield ".".join((*route, name)), value
        for branch in value.get("anyOf", [value]):
            reference = branch.get("$ref", "").rpartition("/")[2]
            if reference:
                yield from _dotted((*route, name), definitions[reference], definitions)
