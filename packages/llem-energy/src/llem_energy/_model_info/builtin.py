"""Architectures that this package contains: no download, random weights."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from llem_energy._errors import BackendError

PREFIX = "builtin:"
_FOLDER = Path(__file__).parent / "architectures"


def builtin_names() -> tuple[str, ...]:
    """Return the names that are valid after `builtin:`."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def builtin_architecture(model: str) -> dict[str, Any] | None:
    """Return the configuration of `builtin:NAME`, or None for any other model.

    Raises:
        BackendError: there is no builtin of that name.
    """
    if not model.startswith(PREFIX):
        return None
    name = model.removeprefix(PREFIX)
    if name not in builtin_names():
        names = ", ".join(builtin_names())
        near = difflib.get_close_matches(name.lower(), builtin_names(), n=1)
        hint = f"; did you mean '{PREFIX}{near[0]}'?" if near else ""
        raise BackendError(f"expected one of the builtin models {names}, found {name!r}{hint}")
    architecture: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))
    return architecture
