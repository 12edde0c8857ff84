"""Unpacks the zip file of a stranger: no path leads out of the folder, and the size has a limit."""

from __future__ import annotations

import errno
import hashlib
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from llem_runner._errors import StudyError, TemporaryFolderError

MAX_FILES = 1_000_000
MAX_BYTES = 2**40
_MIN_BYTES, _MAX_RATIO = 2**30, 300
"""Text of a study shrinks to a twentieth; deflate can make 1,032 bytes of one."""
_BLOCK_BYTES = 2**20
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Unpack an archive into an empty folder; return the SHA-256 of each file, by name.

    The name is relative to the only folder that is at the top of the archive, and has `/`.

    Raises:
        StudyError: it is no archive, damaged, too large, or has names that lead elsewhere.
        TemporaryFolderError: the folder is full.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            members = list(_checked(archive, packed))
            return {
                _below_top(member.filename): _extract(packed, member, folder) for member in members
            }
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise StudyError(
            f"{archive} is damaged: {_sentence(error)}; get the archive again"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NOT_WRITTEN:
            raise TemporaryFolderError(
                f"{archive} cannot be unpacked in the folder for temporary files, {folder.parent}: "
                f"{reason}; set TMPDIR to a folder with enough space"
            ) from error
        raise StudyError(f"{archive} cannot be unpacked: {reason}") from error


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _checked(archive: Path, packed: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """Yield the files of an archive.

    Raises:
        StudyError: one of them cannot be unpacked safely.
    """
    members = packed.infolist()
    _check_size(archive, members)
    seen: set[str] = set()
    tops: set[str] = set()
    for member in members:
        name = member.filename
        if problem := member_problem(member):
            raise StudyError(
                f"{archive} is not safe to unpack: {name!a} {problem}; do not use this archive"
            )
        tops.add(name.partition("/")[0])
        if member.is_dir():
            continue
        if name in seen:
            raise StudyError(
                f"{archive} is not safe to unpack: {name!a} is in it twice; do not use this archive"
            )
        seen.add(name)
        yield member
    if len(tops) != 1:
        raise StudyError(
            f"{archive}: expected the archive of a study, with one folder at its top, found "
            f"{len(tops)}; `llem-cli study archive` makes such an archive"
        )


def _check_size(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_FILES:
        raise StudyError(
            f"{archive} is not safe to unpack: expected at most {MAX_FILES:,} files, found "
            f"{len(members):,}; do not use this archive"
        )
    n_bytes = sum(member.file_size for member in members)
    limit = max_unpacked_bytes(archive.stat().st_size)
    if n_bytes > limit:
        raise StudyError(
            f"{archive} is not safe to unpack: expected at most {limit:,} bytes, found "
            f"{n_bytes:,}; do not use this archive"
        )


def max_unpacked_bytes(n_bytes: int) -> int:
    """Return how many bytes a zip file of this size may have when it is unpacked."""
    return min(MAX_BYTES, max(_MIN_BYTES, _MAX_RATIO * n_bytes))


def member_problem(member: zipfile.ZipInfo) -> str | None:
    """Return why a member of a zip file may not be unpacked; None if it may."""
    name = member.filename
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in parts):
        return "leads to another folder"
    if not all(char.isprintable() for char in name):
        return "has characters that are not seen"
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in _METHODS:  # others need much memory, and no archive has them
        return "is neither stored nor deflated"
    return None


def _below_top(name: str) -> str:
    return name.partition("/")[2]


def _extract(packed: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> str:
    """Write a file below a folder, and return its SHA-256."""
    path = folder.joinpath(*PurePosixPath(_below_top(member.filename) or member.filename).parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with packed.open(member) as source, path.open("xb") as target:
        # zipfile reads no more than the size that was checked, and compares the checksum.
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            target.write(block)
    return digest.hexdigest()
