"""The files that a run reads, as a result records them: name, size and SHA-256 of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec

Role = Literal["model", "draft model", "adapter", "data set", "chat template"]


class FileDigest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    name: str
    """Relative to its folder."""
    n_bytes: int | None
    """Size of the file; None: not known."""
    sha256: str | None
    """Of the content; None if it cannot be read, or is no regular file."""
    matches_hub: bool | None = None
    """Whether the content is the one that the hub states; None if the hub states none."""


class InputDigest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model, adapter, data set or chat template that a run reads."""

    role: Role
    name: str
    """As the experiment states it."""
    revision: str | None = None
    """Of the hub, if it is from there."""
    sha256: str | None
    """Over names, sizes and contents of the files; for `builtin:NAME`, of its architecture. None if
    the files are not on this machine."""
    files: tuple[FileDigest, ...] = ()
    """Those that are loaded, by name."""


def combined_sha256(files: Iterable[FileDigest]) -> str:
    """Return the SHA-256 over some files; the name of their folder does not count."""
    lines = sorted(f"{file.sha256}  {file.n_bytes}  {file.name}\n" for file in files)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def damaged_files(inputs: Iterable[InputDigest]) -> tuple[str, ...]:
    """Return a sentence for each file of the hub's cache whose content is not that of the hub."""
    return tuple(
        f"{file.name} of the {each.role} {each.name} is damaged: its SHA-256 is not the one that "
        f"the hub states; download the {each.role} again"
        for each in inputs
        for file in each.files
        if file.matches_hub is False
    )


def changed_names(before: InputDigest, after: InputDigest) -> tuple[str, ...]:
    """Return the files that differ between two digests, including those that only one has."""
    old, new = ({file.name: file for file in each.files} for each in (before, after))
    names = sorted(old.keys() | new.keys())
    return tuple(
        name
        for name in names
        if name not in old or name not in new or old[name].sha256 != new[name].sha256
    )
