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
from llem_config._spec.path_field import path_fields

_ROUTES: tuple[Route, ...] = tuple(
    tuple(key.split(".")) for key in path_fields(ExperimentConfig, SECTIONS)
)
"""The fields that may name a file or a folder."""

_FILE = re.compile(r".*\.(jsonl?|csv|tsv|txt|parquet|arrow|jinja2?|j2)(\.\w{2,4})?", re.IGNORECASE)
_DOTS = (".", "..")


class PathFinder:
    """Finds the relative paths of the points of one study; it looks at each path once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Path | str], str | None] = {}

    def full_paths(self, data: Mapping[str, Any], sources: Sequence[Source]) -> dict[str, str]:
        """Return the full path of each relative path of a point, by its dotted key.

        Args:
            data: the point, all layers merged.
            sources: its layers, highest first.
        """
        paths: dict[str, str] = {}
        for route in _ROUTES:
            if route[0] not in data:
                continue
            # `dataset: prompts.jsonl` is short for `dataset: {source: prompts.jsonl}`.
            is_short = route == ("dataset", "source") and isinstance(data["dataset"], str)
            written = route[:1] if is_short else route
            value = get(data, written)
            if isinstance(value, str):
                source = next((item for item in sources if has(item.data, written)), None)
                path = self._full_path(value, _file(source))
                if path is not None:
                    paths[".".join(map(str, route))] = path
        return paths

    def _full_path(self, value: str, file: Path | str) -> str | None:
        if (value, file) not in self._known:
            folder = Path.cwd() / file.parent if isinstance(file, Path) else Path.cwd()
            self._known[value, file] = _full_path(value, folder)
        return self._known[value, file]


def _file(source: Source | None) -> Path | str:
    return source.document.file if source is not None else "<defaults>"


def _full_path(value: str, folder: Path) -> str | None:
    """Return the full path of a value; None if it is no relative path, but a name such as a hub id.

    A name is a path if it begins with `./` or `../`, ends like a file, or exists in the folder.
    """
    if value.startswith(("builtin:", "~")) or value == "synthetic":
        return None
    try:
        if Path(value).is_absolute():
            return None
        path = folder / value
        # What exists only in the working directory is a path too, written for another folder: it
        # would otherwise be opened although it is not beside the file.
        is_path = (
            value.split("/")[0] in _DOTS
            or _FILE.fullmatch(value) is not None
            or path.exists()
            or Path(value).exists()
        )
    except (OSError, ValueError):  # too long, a null byte
        return None
    return str(path) if is_path else None
