"""The state of one file, compared with the digest that was recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

FileState = Literal["intact", "changed", "missing", "unverifiable", "foreign"]
FileCause = Literal[
    "not found",
    "not listed",
    "other digest",
    "other point",
    "damaged",
    "not opened",
    "not understood",
    "no digest",
    "newer format",
]


class CheckedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a folder or an archive."""

    name: str
    """Relative to the folder of the study, or to that of the archive."""
    state: FileState
    """`unverifiable`: no digest of it was recorded, or it is of a newer llem. `foreign`: neither the study nor llem wrote it."""
    cause: FileCause | None = None
    """Why it is not intact; None if it is.

    `not listed`: no list says that the study has it. `not opened`: the system or llem refuses to open it, for
    example because it is a link. `not understood`: no digest contradicts it, but this llem cannot read it.
    """
    reason: str | None = None
    """The cause in a sentence."""


_STATES: Mapping[FileCause, FileState] = {
    "not found": "missing",
    "not listed": "foreign",
    "other digest": "changed",
    "other point": "changed",
    "damaged": "changed",
    "not opened": "changed",
    "not understood": "changed",
    "no digest": "unverifiable",
    "newer format": "unverifiable",
}


def doubtful_file(name: str, cause: FileCause, reason: str) -> CheckedFile:
    """Return a file that is not intact, in the state that follows from the cause."""
    return CheckedFile(name=name, state=_STATES[cause], cause=cause, reason=reason)
