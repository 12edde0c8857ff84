"""Relative paths in a study file count from the folder of the file that they are written in.

A base file has its own folder; a flag of the command line counts from the working directory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llem_config._loading.layers import Source, get, has
from llem_config._loading.yaml_places import Route
from llem_config._spec.experiment import SECTIONS, ExperimentConfig
from llem_config._spec.path_field import PathField, path_fields

_FIELDS: dict[Route, PathField] = {
    tuple(key.split(".")): field for key, field in path_fields(ExperimentConfig, SECTIONS)
}
"""The fields that may name a file or a folder."""

_FILE = re.compile(r".*\.(jsonl?|csv|tsv|txt|parquet|arrow|jinja2?|j2)(\.\w{2,4})?", re.IGNORECASE)
_DOTS = (".", "..")


class PathFinder:
    """Finds the relative paths of the points of one study; it looks at each path once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Path | str, PathField], str | None] = {}

    def full_paths(self, data: Mapping[str, Any], sources: Sequence[Source]) -> dict[str, str]:
        """Return the full path of each relative path of a point, by its dotted key.

        Args:
            data: the point, all layers merged.
            sources: its layers, highest first.
        """
        paths: dict[str, str] = {}
        for route, field in _FIELDS.items():
            if route[0] not in data:
                continue
            value = get(data, route)
            if isinstance(value, str):
                source = next((item for item in sources if has(item.data, route)), None)
                path = self._full_path(value, _file(source), field)
                if path is not None:
                    paths[".".join(map(str, route))] = path
        return paths

    def _full_path(self, value: str, file: Path | str, field: PathField) -> str | None:
        if (value, file, field) not in self._known:
            folder = Path.cwd() / file.parent if isinstance(file, Path) else Path.cwd()
            self._known[value, file, field] = _full_path(value, folder, field)
        return self._known[value, file, field]


def _file(source: Source | None) -> Path | str:
    return source.document.file if source is not None else "<defaults>"


def _full_path(value: str, folder: Path, field: PathField) -> str | None:
    """Return the full path of a value; None if it is no relative path, but a name such as a hub id.

    A name is a path if it begins with `./` or `../`, ends like a file, or exists in the folder. It
    is also one if only its first part is a folder there: then its last part is mistyped.
    """
    if value.startswith(("builtin:", "~")) or value in field.reserved:
        return None
    try:
        if Path(value).is_absolute():
            return None
        path = folder / value
        # What exists only in the working directory is a path too, written for another folder: it
        # would otherwise be opened although it is not beside the file.
        is_path = (
            field.is_always_path
            or value.split("/")[0] in _DOTS
            or _FILE.fullmatch(value) is not None
            or path.exists()
            or Path(value).exists()
            or ("/" in value and (folder / value.split("/")[0]).is_dir())
        )
    except (OSError, ValueError):  # too long, a null byte
        return None
    return str(path) if is_path else None
