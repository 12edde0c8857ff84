"""The digests of the files that a study was started from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from llem_config.foreign_files import ForeignFileError
from llem_runner._storage.atomic_files import MAX_JSON_BYTES
from llem_runner._storage.layout import Layout
from llem_runner._storage.stale_handles import may_exist, read_file


def study_file_digest(path: Path) -> str | None:
    """Return the SHA-256 of a study file; None if there is none, and of nothing if it cannot be read."""
    return _digest(path, lambda content: content)


def resolved_digest(layout: Layout) -> str | None:
    """Return the SHA-256 of a resolved study as canonical JSON without the number of cycles."""
    return _digest(layout.resolved, without_cycles)


def digest_of_resolved(content: bytes) -> str:
    """Return the digest that a resolved study will have on disk."""
    return hashlib.sha256(without_cycles(content)).hexdigest()


def is_resolved_of(layout: Layout, sha256: str | None, n_cycles: int) -> bool:
    """Return whether the resolved study on disk has this digest and this number of cycles."""
    try:
        content = read_file(layout.resolved, max_bytes=MAX_JSON_BYTES)
        n_found = json.loads(content)["execution"]["n_cycles"]
    except (ForeignFileError, ValueError, TypeError, KeyError, RecursionError):
        return False
    return bool(n_found == n_cycles and digest_of_resolved(content) == sha256)


def _digest(path: Path, meaning: Any) -> str | None:
    if not may_exist(path):
        return None
    try:
        content = read_file(path, max_bytes=MAX_JSON_BYTES)
    except ForeignFileError:
        content = b""
    return hashlib.sha256(meaning(content)).hexdigest()


def without_cycles(content: bytes) -> bytes:
    """Return a resolved study as canonical JSON without the number of cycles."""
    try:
        data = json.loads(content)
        data["execution"].pop("n_cycles", None)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return content
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
