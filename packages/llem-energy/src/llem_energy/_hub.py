"""Finds models and data sets in the hub's local cache, without a library or the network.

Source: huggingface_hub, "Understand caching": `{models,datasets}--org--name/refs/main` names the
commit whose files are in `snapshots/COMMIT`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_TRUE = ("1", "ON", "YES", "TRUE")


def is_hub_id(name: str) -> bool:
    """Return whether a name has the form of a hub id, `org/name`."""
    return _HUB_ID.fullmatch(name) is not None and not name.startswith((".", "/", "~"))


def is_offline() -> bool:
    """Return whether the user has disabled access to the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def cached_snapshot(
    name: str, *, kind: Literal["models", "datasets"] = "models", revision: str | None = None
) -> Path | None:
    """Return the folder with the downloaded files of a revision; some files may be missing."""
    folder = _cache() / f"{kind}--{name.replace('/', '--')}"
    reference = folder / "refs" / (revision or "main")
    commit = revision or ""
    if reference.is_file():
        commit = reference.read_text("utf-8").strip()
    snapshot = folder / "snapshots" / commit
    return snapshot if commit and snapshot.is_dir() else None


def _cache() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", f"{caches}/huggingface")
    return Path(os.path.expandvars(os.environ.get("HF_HUB_CACHE", f"{home}/hub"))).expanduser()


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
    folder = Path(name).expanduser()
    if folder.is_dir():
        is_complete = (folder / file).is_file()
        return None if is_complete else f"the {what} folder {name} has no {file}; correct the path"
    if not is_hub_id(name):
        return f"there is no {what} folder {name}; correct the path, or use a hub id"
    if is_offline() and cached_snapshot(name, revision=revision) is None:
        return f"the {what} {name} is not in the local cache, and HF_HUB_OFFLINE is set; download the {what}, or unset HF_HUB_OFFLINE"
    return None  # only loading shows whether it is on the hub


def model_folder(model: str, revision: str | None = None) -> Path | None:
    """Return the folder with the files of a model on this machine: local, or in the cache."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    return cached_snapshot(model, revision=revision) if is_hub_id(model) else None
