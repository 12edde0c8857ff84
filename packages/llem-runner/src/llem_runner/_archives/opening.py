"""Opens the folder of a study, or its archive, which is unpacked into a temporary folder."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
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
from llem_runner._archives.checked_file import CheckedFile
from llem_runner._archives.naming import named_in_archive
from llem_runner._archives.unpacking import unpack
from llem_runner._errors import StudyError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # a zip file, and one without files
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
        wrong = [file for file in self.files if file.state != "intact"]
        if not wrong:
            return None
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        first = f"{wrong[0].name} is {wrong[0].state}{more}"
        return (
            f"{self.archive} was changed after it was made: {first}; get the archive again, or list "
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
def open_study(path: str | Path, *, accept_changed: bool = False) -> Iterator[OpenedStudy]:
    """Open a folder, or an archive until the context ends; neither is changed.

    Args:
        path: of the folder or of the archive.
        accept_changed: whether an archive may have been changed since it was made.

    Raises:
        StudyError: the archive is damaged, not safe to unpack, or was changed.

    An error of llem inside the context names the file in the archive, not the temporary one.
    """
    path = Path(path)
    if not is_archive(path):
        yield OpenedStudy(folder=path)
        return
    with tempfile.TemporaryDirectory(prefix="llem-archive-") as scratch:
        folder = Path(scratch).resolve()
        digests = unpack(path, folder)
        if DECLARATION not in digests or not any(name.startswith(f"{STUDY}/") for name in digests):
            raise StudyError(
                f"{path}: expected the archive of a study, found another zip file; `llem-cli study "
                "archive` makes such an archive"
            )
        if f"{STUDY}/manifest.json" not in digests:  # nothing else has the digests of the results
            raise StudyError(
                f"{path} was changed after it was made: it has no {STUDY}/manifest.json; get the archive "
                "again"
            )
        found = OpenedStudy(
            folder=folder / STUDY,
            archive=path,
            archive_sha256=_sha256(path),
            files=tuple(_checked(folder, digests)),
        )
        if not accept_changed and found.tampering:
            raise StudyError(found.tampering)
        try:
            yield found
        except LlemError as error:
            error.args = found.named(error.args)
            raise


def _unpacked(study: Path) -> Path:
    """Return the folder of an unpacked archive, from that of its study."""
    return study.parents[len(Path(STUDY).parts) - 1]


def _checked(folder: Path, digests: Mapping[str, str]) -> Iterator[CheckedFile]:
    """Yield the state of each file of an unpacked archive, by name."""
    expected: dict[str, str] = {}
    for name in (MANIFEST, TAG_MANIFEST):
        if name not in digests:
            yield CheckedFile(name=name, state="missing", reason="it has the digests of the files")
            continue
        try:
            expected.update(parse_digests((folder / name).read_text("utf-8")))
        except ValueError as error:  # also text that is not UTF-8
            yield CheckedFile(name=name, state="changed", reason=f"it is damaged: {error}")
    # Nothing inside can vouch for the last list; every line of it names a file that is checked.
    for name in sorted({*expected, *digests} - {TAG_MANIFEST}):
        yield _compared(name, expected.get(name), digests.get(name))


def _compared(name: str, before: str | None, now: str | None) -> CheckedFile:
    if before == now:
        return CheckedFile(name=name, state="intact")
    if now is None:
        return CheckedFile(name=name, state="missing", reason="the archive lists it but lacks it")
    if before is None:
        listed = MANIFEST if name.startswith(f"{PAYLOAD}/") else TAG_MANIFEST
        return CheckedFile(name=name, state="foreign", reason=f"{listed} does not list it")
    return CheckedFile(name=name, state="changed", reason="its SHA-256 is not the one in the list")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with opened(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
