"""The mistakes behind an error as data, for `--json`."""

from __future__ import annotations

from typing import Any


def faults_of(error: Exception) -> list[dict[str, Any]]:
    """Return the mistakes of a file, one each, or the sentences of an error of ours."""
    from llem_config import ConfigError, LlemError

    if isinstance(error, ConfigError):
        return [
            fault(each.problem, str(each.file), each.line, each.column, each.key)
            for each in error.faults
        ]
    if isinstance(error, LlemError):
        places = getattr(error, "places", {})  # in data sets
        return [_sentence(line, places.get(line)) for line in str(error).splitlines()]
    return []


def _sentence(line: str, place: Any) -> dict[str, Any]:
    if place is None:
        return fault(line)
    return fault(line, place.where or "", place.line or 0) | {"row": place.row}


def fault(
    problem: str, file: str = "", line: int = 0, column: int = 0, key: str = ""
) -> dict[str, Any]:
    """Return one mistake; `null` where a place is unknown."""
    return {
        "file": file or None,
        "line": line or None,
        "column": column or None,
        "key": key or None,
        "row": None,
        "problem": problem,
    }
