"""Opens the folder of a study, or its archive, which is unpacked into a temporary folder."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from llem_config import LlemError
from llem_config.foreign_files import ForeignFileError, opened
from llem_runner._archives.bag import (
    DECLARATION,
    MANIFEST,
    PAYLOAD,
    STUDY,
    TAG_MANIFEST,
    parse_digests,
)
from llem_runner._archives.checked_file import CheckedFile, doubtful_file
from llem_runner._archives.naming import named_in_archive
from llem_runner._archives.unpacking import unpack
from llem_runner._errors import StudyError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # a zip file, and one without files
_MAX_LIST_BYTES = 128 << 20
"""Of a list of checksums; that of a study of 50,000 runs has about 35 MB."""
_BLOCK_BYTES = 2**20
_Data = TypeVar("_Data")


class OpenedStudy(msgspec.Struct, frozen=True, kw_only=True):
    """A study whose files can be read."""

    folder: Path
    """Of the study; for an archive, a temporary one."""
    archive: Path | None = None
    archive_sha256: str | None = None
    files: tuple[CheckedFile, ...] = ()
    """Every file of the archive, with its state; empty for a folder."""

    def named(self, data: _Data) -> _Data:
        """Return text or data in which files of an archive are named as in it: `ARCHIVE.zip: PATH`.

        What is read from the temporary folder may quote paths there, which are gone afterwards.

        Args:
            data: text, a struct, or lists, tuples and dictionaries of them.
        """
        if self.archive is None:
            return data
        return named_in_archive(data, _unpacked(self.folder), self.archive)

    @property
    def tampering(self) -> str | None:
        """Return a sentence if the archive is not as it was made; None if it is, and for a folder."""
        wrong = [file for file in self.files if file.state not in ("intact", "unverifiable")]
        if not wrong:
            return None
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        first = f"{wrong[0].name} is {wrong[0].state}, because {wrong[0].reason}"
        return (
            f"{self.archive} was changed after it was made: {first}{more}; get the archive again, or list "
            f"all changes with `llem-cli study verify {self.archive}`"
        )


def is_archive(path: str | Path) -> bool:
    """Return whether a path is a file that begins like a zip file."""
    try:
        with opened(Path(path)) as file:
            return file.read(len(_ZIP[0])) in _ZIP
    except (ForeignFileError, OSError, ValueError):
        return False


@contextlib.contextmanager
def open_files(path: str | Path) -> Iterator[OpenedStudy]:
    """Open a folder, or an archive until the context ends, whatever the state of its files.

    Args:
        path: of the folder or of the archive.

    Raises:
        StudyError: the archive is damaged, not safe to unpack, or has no lists of checksums.

    An error of llem inside the context names the file in the archive, not the temporary one.
    """
    path = Path(path)
    if not is_archive(path):
        yield OpenedStudy(folder=path)
        return
    with tempfile.TemporaryDirectory(prefix="llem-archive-") as scratch:
        folder = Path(scratch).resolve()
        digests = unpack(path, folder)
        _check_names(path, digests)
        found = OpenedStudy(
            folder=folder / STUDY,
            archive=path,
            archive_sha256=_sha256(path),
            files=tuple(_checked(folder, digests)),
        )
        try:
            yield found
        except LlemError as error:
            error.args = found.named(error.args)
            raise


def _check_names(archive: Path, names: Collection[str]) -> None:
    """Do nothing if an archive has the files without which nothing can be told about the others.

    Raises:
        StudyError: one is missing, or it is not the archive of a study.
    """
    manifest = f"{STUDY}/manifest.json"
    is_bag = any(name in names for name in (DECLARATION, MANIFEST, TAG_MANIFEST))
    if not is_bag or not any(name.startswith(f"{STUDY}/") for name in names):
        raise StudyError(
            f"{archive}: expected the archive of a study, found another zip file; `llem-cli study "
            "archive` makes such an archive"
        )
    for name in (MANIFEST, TAG_MANIFEST):
        if name not in names:
            raise StudyError(
                f"{archive}: expected {name}, the list of checksums, found none, so llem cannot check "
                "whether the files were changed; get the archive again"
            )
    if manifest not in names:  # nothing else has the digests of the results
        raise StudyError(
            f"{archive} was changed after it was made: it has no {manifest}; get the archive again"
        )


def _unpacked(study: Path) -> Path:
    """Return the folder of an unpacked archive, from that of its study."""
    return study.parents[len(Path(STUDY).parts) - 1]


def _checked(folder: Path, digests: Mapping[str, str]) -> Iterator[CheckedFile]:
    """Yield the state of each file of an unpacked archive, by name."""
    expected: dict[str, str] = {}
    damaged: set[str] = set()
    for name in (MANIFEST, TAG_MANIFEST):
        try:
            expected.update(_digests(folder / name))
        except ValueError as error:  # also text that is not UTF-8
            damaged.add(name)
            yield doubtful_file(name, "damaged", f"it is damaged: {error}")
    # A file that a damaged list does not name may be one of the study.
    names = set(expected) if damaged else {*expected, *digests, DECLARATION}
    checked = [
        _compared(name, expected.get(name), digests.get(name))
        for name in sorted(names - {TAG_MANIFEST, *damaged})
    ]
    yield from checked
    # Nothing lists the last list. If the files that it lists are intact, so are its lines.
    if not damaged and all(file.state == "intact" for file in checked):
        yield CheckedFile(name=TAG_MANIFEST, state="intact")


def _digests(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and SHA-256 of each line of a list, without having all of it in memory.

    Raises:
        ValueError: it is damaged, or too large.
    """
    if path.stat().st_size > _MAX_LIST_BYTES:
        raise ValueError(f"expected at most {_MAX_LIST_BYTES >> 20} MiB")
    with path.open(encoding="utf-8", newline="\n") as lines:
        yield from parse_digests(lines)


def _compared(name: str, before: str | None, now: str | None) -> CheckedFile:
    if now is None:
        reason = "the archive lists it but lacks it" if before else "every archive has it"
        return doubtful_file(name, "not found", reason)
    if before == now:
        return CheckedFile(name=name, state="intact")
    if before is None:
        listed = MANIFEST if name.startswith(f"{PAYLOAD}/") else TAG_MANIFEST
        return doubtful_file(name, "not listed", f"{listed} does not list it")
    return doubtful_file(name, "other digest", "its SHA-256 is not the one in the list")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with opened(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
