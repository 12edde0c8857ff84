"""Read the study that a folder was created for."""

from __future__ import annotations

import json
import os
from pathlib import Path

from llem_config import BACKENDS, StudyConfig
from llem_config.foreign_files import ForeignFileError
from llem_config.text import one_line
from llem_runner._errors import StudyError, UnknownBackendError
from llem_runner._storage.atomic_files import MAX_JSON_BYTES, MAX_REASON
from llem_runner._storage.layout import Layout
from llem_runner._storage.stale_handles import may_exist, read_file
from llem_runner._storage.stored_values import SHARDS
from llem_runner._storage.study_folder import check_study_folder

_MAX_NAME = 60  # characters


def read_study(folder: str | Path) -> StudyConfig:
    """Read the study that a folder was created for, with all its points.

    Raises:
        UnknownBackendError: the package of its backend is not installed, so its points cannot be read.
        StudyError: not a study folder, or the file is missing or damaged.
    """
    layout = Layout(Path(folder))
    check_study_folder(layout.folder)
    if not may_exist(layout.resolved):
        if os.path.lexists(layout.folder / SHARDS):
            raise StudyError(
                f"{layout.resolved} is missing, which has the points of all shards; restore it from a copy: "
                "the shards run without it, but the study cannot be merged or shown"
            )
        raise StudyError(
            f"{layout.resolved} is missing; restore it from a copy, or run the study again in "
            "another folder"
        )
    try:
        content = read_file(layout.resolved, max_bytes=MAX_JSON_BYTES)
        return StudyConfig.model_validate_json(content)
    except ForeignFileError as error:
        raise StudyError(str(error)) from error
    except (ValueError, RecursionError) as error:
        if backend := _unknown_backend(content):
            raise UnknownBackendError(
                f"{layout.resolved.name}: its points run on the backend {backend}, whose package is not "
                "installed here; install it to read their settings (manifest.json lists all packages "
                "of the study)"
            ) from error
        # pydantic's message has several lines and ends with a link.
        problem = " ".join(str(error).partition(" [type=")[0].split())
        problem = one_line(problem, MAX_REASON)
        raise StudyError(
            f"{layout.resolved} is damaged ({problem}); restore it from a copy, or run the study "
            "again in another folder"
        ) from error


def _unknown_backend(content: bytes) -> str | None:
    """Return the first backend of a resolved study that no package declares here; None if all are known."""
    try:
        backends = [point["backend"] for point in json.loads(content)["experiments"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    names = (name for name in backends if isinstance(name, str) and name.isidentifier())
    return next((one_line(name, _MAX_NAME) for name in names if name not in BACKENDS), None)
