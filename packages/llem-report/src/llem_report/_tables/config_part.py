"""Columns of the configuration: one for each field of an experiment, null where it is not set."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args

import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from llem_config import ExperimentConfig
from llem_report._tables.columns import Column, ColumnType, column
from llem_report._tables.struct_columns import Part, column_type

PREFIX = "config."
_SOURCE = "result.json or study_resolved.json: "


class _Leaf(NamedTuple):
    column: Column
    route: tuple[str, ...]


def config_part() -> Part:
    """Return a column for each field of an experiment, those of all backends included."""
    leaves = tuple(_leaves(ExperimentConfig, ()))
    known: dict[str, tuple[Any, ...]] = {}

    def values(record: Any) -> tuple[Any, ...]:
        # The points of a study are few, compared with its runs.
        key = record.entry.config_hash if record.entry else ""
        if not key or key not in known:
            row = tuple(_value_at(record.config, leaf) for leaf in leaves)
            if not record.config or not key:
                return row
            known[key] = row
        return known[key]

    return Part(tuple(leaf.column for leaf in leaves), values)


def leaf_text(value: object) -> str | None:
    """Return a value of JSON as text: text as it is, all else as JSON; None for null."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value, order="sorted").decode()


def _leaves(model: type[BaseModel], route: tuple[str, ...]) -> Iterator[_Leaf]:
    for name, field in model.model_fields.items():
        if field.exclude or name == "paths":  # a path of this machine
            continue
        here = (*route, name)
        section = _section(field.annotation)
        if section is not None:
            yield from _leaves(section, here)
            continue
        key = ".".join(here)
        text = _described(field, route, name)
        yield _Leaf(column(PREFIX + key, _type(name, field.annotation), text, _SOURCE + key), here)


def _section(annotation: Any) -> type[BaseModel] | None:
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _described(field: FieldInfo, route: tuple[str, ...], name: str) -> str:
    if field.description:
        return " ".join(field.description.split())
    return f"Option `{name}` of the backend {'.'.join(route)}; null leaves the choice to it."


def _type(name: str, annotation: Any) -> ColumnType:
    plain = column_type(name, _without_metadata(annotation))
    if plain is not None:
        return plain
    items = get_args(_without_metadata(annotation))
    # A list such as `energy.phases`; all else becomes JSON.
    return "texts" if any("tuple[" in str(kind) for kind in (annotation, *items)) else "text"


def _without_metadata(annotation: Any) -> Any:
    """Return an annotation without the limits of its values."""
    parts = [part for part in get_args(annotation) if part is not types.NoneType]
    if hasattr(annotation, "__metadata__"):
        return _without_metadata(parts[0])
    if len(parts) == 1 and types.NoneType in get_args(annotation):
        return _without_metadata(parts[0])
    return annotation


def _value_at(config: Mapping[str, Any], leaf: _Leaf) -> Any:
    value: Any = config
    for name in leaf.route:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return leaf_text(value) if leaf.column.type == "text" else value
