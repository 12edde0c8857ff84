"""Writes plain data as the YAML of a study file, so that reading it gives the same data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from llem_config._loading.yaml_document import parse_value

_PLAIN = re.compile(r"[A-Za-z0-9_.~/][\w.:/~-]*", re.ASCII)


def as_yaml(data: Mapping[str, Any]) -> str:
    """Return a mapping as YAML: sections as blocks, lists in one line each."""
    return "".join(f"{line}\n" for line in _lines(data))


def _lines(data: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{in_flow(key)}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{in_flow(key)}: {in_flow(value)}"


def in_flow(value: Any) -> str:
    """Return a value in one line; a text has quotes if it would be read as something else."""
    match value:
        case str():
            is_plain = _PLAIN.fullmatch(value) and not value.endswith(":")
            if is_plain and parse_value(value) == value:
                return value
            return _quoted(value)
        case Mapping():
            parts = (f"{in_flow(key)}: {in_flow(item)}" for key, item in value.items())
            return f"{{{', '.join(parts)}}}"
        case list() | tuple():
            return f"[{', '.join(map(in_flow, value))}]"
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Return a text in double quotes; JSON has no escape for characters above 0xFFFF, YAML has."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted)
