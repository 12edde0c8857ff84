"""Change one setting in the settings file of this machine; the rest of the file stays as it is.

from llem_config.settings_file import write_setting
path = write_setting("execution.config_gap_seconds", "30")
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llem_config._faults import ConfigError, Fault
from llem_config._loading.fault_messages import describe_error
from llem_config._loading.layers import merge
from llem_config._loading.suggest import did_you_mean, listed
from llem_config._loading.yaml_document import parse, parse_value, read_document
from llem_config._loading.yaml_writing import in_flow
from llem_config.settings import Settings, settings_path

__all__ = ["write_setting"]

_PLACE = "<command line>"


def write_setting(key: str, value: str) -> Path:
    """Write a setting to the settings file, and return the path of the file.

    Comments and other settings of the file stay. The file and its folder are made if necessary.

    Args:
        key: dotted, such as `execution.config_gap_seconds`.
        value: as it is written in the file, `null` for none.

    Raises:
        ConfigError: there is no such setting, the value is wrong, the file has mistakes or cannot
            be written, or its layout does not allow the change. The file is then as before.
    """
    section, name = _route(key)
    new = {section: {name: parse_value(value)}}
    _check(new, key)
    path = Path(os.path.realpath(settings_path()))
    text, data = "", {}
    if path.exists() and not path.is_file():
        # It would be replaced: /dev/null, for example, by a file of this user.
        problem = "expected a regular file, found another kind; let LLEM_CONFIG name a file"
        raise ConfigError([Fault(path, 0, 0, "", problem)])
    if path.exists():
        document = read_document(path, may_be_empty=True)
        text, data = document.text, {k: v for k, v in document.data.items() if v is not None}
    edited = _edited(text, section, name, in_flow(new[section][name]))
    expected = merge(data, new)
    with contextlib.suppress(ConfigError):
        read = parse(edited, path).data
        if {k: v for k, v in read.items() if v is not None} == expected:
            _replace(path, edited)
            return path
    problem = f"cannot be changed without losing its layout; write `{name}: {value}` in {section}"
    raise ConfigError([Fault(path, 0, 0, key, problem)])


def _route(key: str) -> tuple[str, str]:
    keys = [
        f"{section}.{name}" for section, model in Settings() for name in type(model).model_fields
    ]
    if key not in keys:
        by_name = {full.partition(".")[2]: full for full in keys}
        hint = did_you_mean(by_name.get(key, key), keys) or did_you_mean(key, by_name)
        hint = hint or listed(keys)
        raise ConfigError([Fault(_PLACE, 0, 0, "", f"expected a setting, found {key!r}{hint}")])
    section, _, name = key.partition(".")
    return section, name


def _check(new: dict[str, Any], key: str) -> None:
    """Return if the value is valid.

    Raises:
        ConfigError: it is not.
    """
    try:
        Settings.model_validate(new)
    except ValidationError as error:
        schema = Settings.model_json_schema()
        faults = []
        for item in error.errors(include_url=False):
            route = tuple(part for part in item["loc"] if isinstance(part, str | int))
            faults.append(Fault(_PLACE, 0, 0, key, describe_error(item, schema, route)))
        raise ConfigError(faults[:1]) from error


def _edited(text: str, section: str, name: str, value: str) -> str:
    """Return a text of settings with one value changed or added, by whole lines."""
    lines = text.splitlines()
    header = re.compile(rf"{re.escape(section)}\s*:\s*(#.*)?")
    start = next((i for i, line in enumerate(lines) if header.fullmatch(line)), None)
    if start is None:
        return "\n".join([*lines, f"{section}:", f"  {name}: {value}", ""])
    # A # inside quotes begins no comment.
    quoted = r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'"""
    own = re.compile(rf"(\s+{re.escape(name)}\s*:)(?:\s+(?:{quoted}|[^#\"'][^#]*?))?(\s+#.*)?\s*")
    end = start + 1
    indent = "  "
    while end < len(lines) and (not lines[end].strip() or lines[end][0] in " \t#"):
        if found := own.fullmatch(lines[end]):
            lines[end] = f"{found[1]} {value}{found[2] or ''}"
            return "\n".join([*lines, ""])
        if (other := re.match(r"(\s+)\w", lines[end])) is not None:
            indent = other[1]
        end += 1
    lines.insert(start + 1, f"{indent}{name}: {value}")
    return "\n".join([*lines, ""])


def _replace(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one.

    Raises:
        ConfigError: it cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        problem = f"cannot be written: {error.strerror}"
        raise ConfigError([Fault(path, 0, 0, "", problem)]) from error
