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
from llem_config.cluster_settings import (
    SECTION,
    check_cluster_value,
    cluster_model,
    cluster_names,
)
from llem_config.settings import Settings, setting_names, settings_path

__all__ = ["write_setting"]

_PLACE = "<command line>"


def write_setting(key: str, value: str) -> Path:
    """Write a setting to the settings file, and return the path of the file.

    Comments and other settings of the file stay. The file and its folder are made if necessary.

    Args:
        key: dotted, such as `execution.config_gap_seconds` or `clusters.slurm.partition`.
        value: as it is written in the file, `null` for none.

    Raises:
        ConfigError: there is no such setting, the value is wrong, the file has mistakes or cannot
            be written, or its layout does not allow the change. The file is then as before.
    """
    route = _route(key)
    new: dict[str, Any] = {route[-1]: parse_value(value)}
    written = in_flow(new[route[-1]])
    for part in reversed(route[:-1]):
        new = {part: new}
    _check(new, route, key)
    path = Path(os.path.realpath(settings_path()))
    text, data = "", {}
    if path.exists() and not path.is_file():
        # It would be replaced: /dev/null, for example, by a file of this user.
        problem = "expected a regular file, found another kind; let LLEM_CONFIG name a file"
        raise ConfigError([Fault(path, 0, 0, "", problem)])
    if path.exists():
        document = read_document(path, may_be_empty=True)
        text, data = document.text, {k: v for k, v in document.data.items() if v is not None}
    edited = _edited(text, route, written)
    expected = merge(data, new)
    with contextlib.suppress(ConfigError):
        read = parse(edited, path).data
        if {k: v for k, v in read.items() if v is not None} == expected:
            _replace(path, edited)
            return path
    section, name = ".".join(route[:-1]), route[-1]
    problem = f"cannot be changed without losing its layout; write `{name}: {value}` in {section}"
    raise ConfigError([Fault(path, 0, 0, key, problem)])


def _route(key: str) -> tuple[str, ...]:
    """Return the keys of a setting, from the section on.

    Raises:
        ConfigError: there is no such setting.
    """
    if key.startswith(f"{SECTION}.") and key.count(".") == 2:
        return tuple(key.split("."))  # checked with its value
    keys = [f"{section}.{name}" for section, name in setting_names()]
    if key not in keys:
        clusters = [
            f"{SECTION}.{name}.{field}"
            for name in (cluster_names() if key.startswith(SECTION) else ())
            for field in cluster_model(name).model_fields
        ]
        by_name = {full.partition(".")[2]: full for full in keys}
        hint = did_you_mean(by_name.get(key, key), keys) or did_you_mean(key, by_name)
        containing = [full for full in keys if len(key) > 2 and key in full]
        hint = hint or (did_you_mean(containing[0], keys) if len(containing) == 1 else "")
        hint = hint or listed(clusters or keys) or "; `llem-cli config` prints all settings"
        raise ConfigError([Fault(_PLACE, 0, 0, "", f"expected a setting, found {key!r}{hint}")])
    return tuple(key.split("."))


def _check(new: dict[str, Any], route: tuple[str, ...], key: str) -> None:
    """Return if the value is valid.

    Raises:
        ConfigError: it is not.
    """
    if route[0] == SECTION:
        _, cluster, name = route
        check_cluster_value(cluster, name, new[SECTION][cluster][name])
    try:
        Settings.model_validate(new)
    except ValidationError as error:
        schema = Settings.model_json_schema()
        faults = []
        for item in error.errors(include_url=False):
            place = tuple(part for part in item["loc"] if isinstance(part, str | int))
            faults.append(Fault(_PLACE, 0, 0, key, describe_error(item, schema, place)))
        raise ConfigError(faults[:1]) from error


def _edited(text: str, route: tuple[str, ...], value: str) -> str:
    """Return a text of settings with one value changed or added, by whole lines."""
    lines = text.splitlines()
    *sections, name = route
    start, end, indent = 0, len(lines), ""
    for depth, section in enumerate(sections):
        header = re.compile(rf"{indent}{re.escape(section)}\s*:\s*(#.*)?")
        found = next((i for i in range(start, end) if header.fullmatch(lines[i])), None)
        if found is None:
            added = [f"{indent}{'  ' * n}{part}:" for n, part in enumerate(sections[depth:])] + [
                f"{indent}{'  ' * (len(sections) - depth)}{name}: {value}"
            ]
            place = start if depth else end
            return "\n".join([*lines[:place], *added, *lines[place:], ""])
        start = found + 1
        end = _end_of_block(lines, start, indent)
        indent = _indent_of_block(lines[start:end], indent + "  ")
    # A # inside quotes begins no comment.
    quoted = r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'"""
    own = re.compile(rf"(\s+{re.escape(name)}\s*:)(?:\s+(?:{quoted}|[^#\"'][^#]*?))?(\s+#.*)?\s*")
    for i in range(start, end):
        if old := own.fullmatch(lines[i]):
            lines[i] = f"{old[1]} {value}{old[2] or ''}"
            return "\n".join([*lines, ""])
    lines.insert(start, f"{indent}{name}: {value}")
    return "\n".join([*lines, ""])


def _end_of_block(lines: list[str], start: int, indent: str) -> int:
    """Return the line after the block that begins at `start`, below a key at `indent`."""
    for i in range(start, len(lines)):
        line = lines[i]
        if line.strip() and not line.startswith("#") and not re.match(rf"{indent}\s", line):
            return i
    return len(lines)


def _indent_of_block(lines: list[str], default: str) -> str:
    """Return what the keys of a block begin with."""
    found = (re.match(r"(\s+)\w", line) for line in lines)
    return next((match[1] for match in found if match), default)


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
