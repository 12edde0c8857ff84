"""Finds models and data sets in the hub's local cache, without a library.

The network is used only to find out whether the hub can be reached at all.

Source: huggingface_hub, "Understand caching": `{models,datasets}--org--name/refs/main` names the
commit whose files are in `snapshots/COMMIT`.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Literal

from llem_config.foreign_files import ForeignFileError, file_problem, read_bytes
from llem_energy._hub_access import unreachable_hub

__all__ = [
    "cached_snapshot", "expanded", "is_hub_id", "missing_model_problem", "model_folder",
    "offline_variable", "unreachable_hub",
]  # fmt: skip

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_MAX_REFERENCE_BYTES = 1000
_MAX_NAMED = 5
_COMMIT = re.compile(r"[\w-][\w.-]*")
_TRUE = ("1", "ON", "YES", "TRUE")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""The second counts if the first is not set (huggingface_hub, `constants.HF_HUB_OFFLINE`)."""


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form of a hub id, `org/name`."""
    return _HUB_ID.fullmatch(name) is not None and not name.startswith((".", "/", "~"))


def offline_variable(kind: Literal["models", "datasets"] = "models") -> str | None:
    """Return the environment variable by which the user disabled access to the hub, if any."""
    own = ("HF_DATASETS_OFFLINE",) if kind == "datasets" else ()
    name = next((name for name in (*own, *_OFFLINE) if os.environ.get(name)), None)
    return name if name and os.environ[name].upper() in _TRUE else None


def cached_snapshot(
    name: str, *, kind: Literal["models", "datasets"] = "models", revision: str | None = None
) -> Path | None:
    """Return the folder with the downloaded files of a revision; some files may be missing."""
    folder = _cache() / f"{kind}--{name.replace('/', '--')}"
    reference = folder / "refs" / (revision or "main")
    commit = revision or ""
    if reference.is_file():
        try:
            content = read_bytes(reference, max_bytes=_MAX_REFERENCE_BYTES)
            commit = content.decode("utf-8").strip()
        except (ForeignFileError, UnicodeDecodeError):
            return None
    if not _COMMIT.fullmatch(commit):
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def expanded(name: str | Path) -> Path:
    """Return a path with `~` replaced; unchanged if this user has no home folder."""
    return Path(os.path.expanduser(name))  # noqa: PTH111  # that of Path raises without a home folder


def _cache() -> Path:
    variables = os.environ
    caches = variables.get("XDG_CACHE_HOME", "~/.cache")
    home = variables.get("HF_HOME", f"{caches}/huggingface")
    older = variables.get("HUGGINGFACE_HUB_CACHE", f"{home}/hub")
    return expanded(os.path.expandvars(variables.get("HF_HUB_CACHE", older)))


def missing_model_problem(
    what: str, name: str, file: str, revision: str | None = None
) -> str | None:
    """Return why a model or an adapter cannot be loaded here; None if it may load.

    Args:
        what: `model` or `adapter`, for the sentence.
        name: a local folder or a hub id.
        file: which such a folder must contain.
        revision: of a hub id.
    """
    folder = expanded(name)
    if folder.is_dir():
        if not os.path.lexists(folder / file):
            return f"the {what} folder {name} has no {file}; correct the path"
        return file_problem(folder / file)
    if not is_hub_id(name):
        return _missing_folder(what, name)
    if cached_snapshot(name, revision=revision) is not None:
        return None  # only loading shows whether it is complete
    if "/" in name and folder.parent.is_dir():
        return _missing_folder(what, name)  # its last part is mistyped
    missing = f"the {what} {name} is not in the local cache"
    if variable := offline_variable():
        return f"{missing}, and {variable} is set; download the {what}, or unset {variable}"
    if reason := unreachable_hub():
        return f"{missing}, and {reason}; download the {what} where the hub can be reached"
    return None  # only loading shows whether it is on the hub


def _missing_folder(what: str, name: str) -> str:
    """Return the sentence about a folder that does not exist, with the names that are there."""
    folder = expanded(name)
    if folder.exists():
        return f"expected a {what} folder, found the file {name}; use the folder that it is in"
    try:
        names = sorted(path.name for path in folder.parent.iterdir() if path.is_dir())
    except OSError:
        names = []
    near = difflib.get_close_matches(folder.name, names, _MAX_NAMED, 0.5) or names[:_MAX_NAMED]
    shown = ", ".join(map(repr, near))
    hint = f"; {folder.parent} has {shown}" if near else ""
    return f"there is no {what} folder {name}{hint}; correct the path, or use a hub id"


def model_folder(model: str, revision: str | None = None) -> Path | None:
    """Return the folder with the files of a model on this machine: local, or in the cache."""
    folder = expanded(model)
    if folder.is_dir():
        return folder
    return cached_snapshot(model, revision=revision) if is_hub_id(model) else None
