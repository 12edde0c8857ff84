"""How strictly a value is read: exact types, and copies that JSON can represent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

STRICT = ConfigDict(
    extra="forbid",
    frozen=True,
    strict=True,
    allow_inf_nan=False,
    use_attribute_docstrings=True,  # the docstring below a field is its description in the schema
)
"""Strict: `"8"` is not a number and `1` is not a boolean. A wrong type is a mistake."""


def plain_copy(value: Any) -> Any:
    """Return a copy that JSON can represent: every key as text, only finite numbers.

    Other values would change on the way to the process that measures, or could not be hashed.

    Raises:
        PydanticCustomError: a value is of another type, or not finite.
    """
    match value:
        case Mapping():
            return {str(key): plain_copy(item) for key, item in value.items()}
        case list() | tuple():
            return [plain_copy(item) for item in value]
        case float() if not math.isfinite(value):
            kind = str(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            kind = type(value).__name__
    raise PydanticCustomError(
        "llem_plain",
        "expected text, finite numbers, true, false, lists and mappings, found {found}",
        {"found": kind},
    )


PlainDict = BeforeValidator(plain_copy)
"""Copies a free-form value, because validation returns it as it is and points must not share it."""
