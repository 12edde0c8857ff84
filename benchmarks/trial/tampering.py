"""Changes one byte in each kind of file of an archive, and lets `verify_study` find the file.

`llem-cli study verify` prints what `verify_study` returns; a call for each file takes less time.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llem_runner import StudyError, verify_study

_LAST = "tagmanifest-sha256.txt"
"""No other file has its digest: a changed byte in it looks like a change of the file on that line."""


@dataclass(frozen=True)
class Change:
    """A file of which one byte was changed, and what was said of it."""

    kind: str
    name: str
    verdict: str
    is_named: bool
    """Whether the command failed and named the file as changed."""


def kinds_of_files(archive: Path) -> dict[str, str]:
    """Return one file of each kind in an archive; the files of runs are of one kind each."""
    with zipfile.ZipFile(archive) as packed:
        names = [info.filename for info in packed.infolist() if info.file_size]
    kinds: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        kind = "/".join(path.parts[1:])
        kinds.setdefault(re.sub(r"\d+_c\d+_[^/]+", "RUN", kind), name)
    return kinds


def change_each_kind(archive: Path, parent: Path) -> Iterator[Change]:
    """Yield what is found in an archive after a change of one byte in a file.

    Args:
        archive: is not changed itself.
        parent: an existing folder for the changed ones.
    """
    for kind, name in kinds_of_files(archive).items():
        changed = parent / "study.zip"
        _with_another_byte(archive, changed, name)
        inside = name.partition("/")[2]
        try:
            found = verify_study(changed, files_only=True)
        except StudyError as error:
            yield Change(
                kind, inside, f"{error}".replace(str(changed), "study.zip"), inside in str(error)
            )
            continue
        named = [file.name for file in found.files if file.state == "changed"]
        listed = "; ".join([found.verdict, *(f"changed: {each}" for each in named)])
        is_named = any(inside.endswith(each) for each in named) or inside == _LAST
        is_named &= found.verdict == "not intact"
        yield Change(kind, inside, listed, is_named)


def _with_another_byte(archive: Path, changed: Path, name: str) -> None:
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(changed, "w") as new:
        for info in old.infolist():
            content = bytearray(old.read(info))
            if info.filename == name:
                content[len(content) // 2] ^= 1
            new.writestr(info, bytes(content))
