"""The state of one file, compared with the digest that was recorded of it."""

from __future__ import annotations

from typing import Literal

import msgspec

FileState = Literal["intact", "changed", "missing", "unverifiable", "foreign"]


class CheckedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a folder or an archive."""

    name: str
    """Relative to the folder of the study, or to that of the archive."""
    state: FileState
    """`unverifiable`: no digest of it was recorded, or it is of a newer llem. `foreign`: neither the study nor llem wrote it."""
    reason: str | None = None
    """Why it is not intact."""
