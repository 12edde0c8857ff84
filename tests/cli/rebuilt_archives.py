"""Archives whose files were changed by a person who made the checksums again."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from llem_runner.archives import MANIFEST, TAG_MANIFEST

Files = dict[str, bytes]
STUDY_MANIFEST = "data/study/manifest.json"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def rebuilt(
    archive: Path, target: Path, change: Callable[[Files], Mapping[str, bytes]], *, inner: bool
) -> Path:
    """Write an archive with changed files, whose lists of checksums are made again.

    Args:
        archive: as it was made.
        target: to write.
        change: returns the files that are changed, by name, from all files.
        inner: whether the digests in the manifest of the study are made again too.
    """
    with zipfile.ZipFile(archive) as old:
        top = old.namelist()[0].partition("/")[0]
        files = {name.removeprefix(f"{top}/"): old.read(name) for name in old.namelist()}
    for name, content in change(files).items():
        if inner:
            before, after = sha256(files[name]).encode(), sha256(content).encode()
            files[STUDY_MANIFEST] = files[STUDY_MANIFEST].replace(before, after)
        files[name] = content
    for listing in (MANIFEST, TAG_MANIFEST):
        names = [line.split("  ", 1)[1] for line in files[listing].decode().splitlines()]
        files[listing] = "".join(f"{sha256(files[name])}  {name}\n" for name in names).encode()
    write_zip(target, top, files)
    return target


def write_zip(target: Path, top: str, files: Mapping[str, bytes]) -> None:
    """Write files below one folder into a zip file."""
    with zipfile.ZipFile(target, "w") as packed:
        for name, content in files.items():
            packed.writestr(f"{top}/{name}", content)


def words(command: str, archive: Path, out: Path) -> list[str | Path]:
    """Return a command that reads an archive, and may write one file."""
    more: dict[str, list[str | Path]] = {
        "report": ["--output", out],
        "export": [out],
        "verify": ["--files-only"],
    }
    return ["study", command, archive, *more.get(command, [])]
