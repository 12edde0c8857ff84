"""Marks the fields whose value may be a path, in the sections of every backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from llem_config.credentials import kind_of_credential

_MAX_CHARACTERS = 4096  # PATH_MAX of Linux


@dataclass(frozen=True, slots=True)
class PathField:
    """In the metadata of a field: its value is a path or a name such as a hub id."""

    reserved: frozenset[str] = frozenset()
    """Values that are never a path."""
    is_always_path: bool = False
    """Whether every value that is not reserved is a path."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema of the field with the check of `_usable`; pydantic calls this."""
        return no_info_after_validator_function(_usable, handler(source))


def _usable(value: str | None) -> str | None:
    """Return a value that the functions of the operating system accept, and that may be stored.

    Raises:
        PydanticCustomError: no file can have this name, or it contains a password.
    """
    if value is None:
        return None
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        problem = "expected a path or a name, found a character that neither can have"
        raise PydanticCustomError("llem_path", "{problem}", {"problem": problem})
    if len(value) > _MAX_CHARACTERS:
        problem = f"expected at most {_MAX_CHARACTERS} characters, found {len(value)}"
        raise PydanticCustomError("llem_path", "{problem}", {"problem": problem})
    if kind := kind_of_credential(value):
        problem = f"found {kind}; remove it, because the value is stored in the results"
        raise PydanticCustomError("llem_path", "{problem}", {"problem": problem})
    return value


def path_fields(
    model: type[BaseModel], sections: Mapping[str, type[BaseModel]]
) -> Iterator[tuple[str, PathField]]:
    """Yield the dotted keys of the marked fields of a model and its sections, with their marks."""
    for section, fields in {"": model, **sections}.items():
        for name, field in fields.model_fields.items():
            for item in field.metadata:
                if isinstance(item, PathField):
                    yield f"{section}.{name}".lstrip("."), item
