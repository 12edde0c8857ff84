"""Marks the fields whose value may be a path, in the sections of every backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class PathField:
    """In the metadata of a field: its value is a path or a name such as a hub id."""


def path_fields(model: type[BaseModel], sections: Mapping[str, type[BaseModel]]) -> Iterator[str]:
    """Yield the dotted keys of the marked fields of a model and its sections."""
    for section, fields in {"": model, **sections}.items():
        for name, field in fields.model_fields.items():
            if any(isinstance(item, PathField) for item in field.metadata):
                yield f"{section}.{name}".lstrip(".")
