"""Reads packs: zip files with the files of an attempt's runs. A pack may be from a stranger.

The list of names of the last packs is kept in memory, because a merge reads a pack once for each run. A file
is open only while something is read from it, so that a folder can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from llem_config.foreign_files import ForeignFileError, opened
from llem_runner._archives.unpacking import MAX_FILES, max_unpacked_bytes, member_problem
from llem_runner._storage.layout import RUN_FOLDER, is_run_file
from llem_runner._storage.stale_handles import without_stale

DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError),
    RuntimeError,  # also NotImplementedError: a method that no pack has
)
"""What `zipfile` raises for a file that is no zip file, or a damaged one."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Of a file in a zip file: its signature, and how many bytes its name and the extra field have."""
_MAX_KNOWN = 4
_BLOCK_BYTES = 2**20


class Writable(Protocol):
    """What takes the content of a file, such as another file."""

    def write(self, content: bytes, /) -> object:
        """Take the next bytes."""


class _Handle(io.RawIOBase):
    """A file for `zipfile` that is open only while something is read from it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.file: BinaryIO = io.BytesIO()

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self.file.read(size)
        except OSError as error:
            raise ForeignFileError(f"{self._path}: cannot be read: {error.strerror}") from error

    def seek(self, offset: int, origin: int = 0, /) -> int:
        if origin == os.SEEK_SET and offset < 0:
            raise zipfile.BadZipFile("a file in it begins before the first byte")
        try:
            return self.file.seek(offset, origin)
        except OSError as error:
            if origin != os.SEEK_SET:  # zipfile expects it of a file that is too short
                raise
            raise ForeignFileError(f"{self._path}: cannot be read: {error.strerror}") from error

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True


class _Pack(NamedTuple):
    signature: tuple[int, ...]
    handle: _Handle
    content: zipfile.ZipFile
    members: Mapping[str, zipfile.ZipInfo]


_LOCK = threading.RLock()
_KNOWN: dict[Path, _Pack] = {}


def members_of(pack: Path) -> Mapping[str, zipfile.ZipInfo]:
    """Return the files in a pack by name: that of the run's folder, `/`, and their own.

    Raises:
        ForeignFileError: it cannot be read, is damaged, or has a name that no file of a run has.
    """

    def read() -> Mapping[str, zipfile.ZipInfo]:
        with _opened_pack(pack) as found:
            return found.members

    return without_stale(read)


def copy_member(pack: Path, name: str, target: Writable, *, max_bytes: int | None = None) -> None:
    """Write the content of a file in a pack; its checksum is compared.

    Args:
        pack: path of the pack.
        name: one of `members_of`.
        target: gets the content, in parts; after an error it has a part of it.
        max_bytes: the largest size that is accepted; None: any.

    Raises:
        ForeignFileError: the pack cannot be read or is damaged, or the file is too large.
        OSError: the target cannot be written.
    """
    with _opened_pack(pack) as found:
        member = _member(pack, found, name)
        if max_bytes is not None and member.file_size > max_bytes:
            raise ForeignFileError(
                f"{pack}: {name}: expected at most {max_bytes:,} bytes, found {member.file_size:,}; is it "
                "the right file?"
            )
        with found.content.open(member) as source:
            # zipfile reads no more than the size that the list of names has.
            while block := source.read(_BLOCK_BYTES):
                target.write(block)


def last_bytes_of(pack: Path, name: str, n_bytes: int) -> bytes:
    """Return the end of a file in a pack; of one that is not compressed, nothing else is read.

    Args:
        pack: path of the pack.
        name: one of `members_of`.
        n_bytes: how many bytes; a shorter file is returned as a whole.

    Raises:
        ForeignFileError: the pack cannot be read or is damaged.
    """
    with _opened_pack(pack) as found:
        member = _member(pack, found, name)
        if member.compress_type != zipfile.ZIP_STORED:
            end = b""
            with found.content.open(member) as source:
                while block := source.read(_BLOCK_BYTES):
                    end = (end + block)[-n_bytes:]
            return end
        found.handle.seek(member.header_offset)
        signature, *lengths = _LOCAL_HEADER.unpack(found.handle.read(_LOCAL_HEADER.size))
        if signature != b"PK\x03\x04":
            raise zipfile.BadZipFile(f"expected a file at byte {member.header_offset}")
        begin, n_read = found.handle.tell() + sum(lengths), min(n_bytes, member.file_size)
        found.handle.seek(begin + member.file_size - n_read)
        return found.handle.read(n_read)


def _member(pack: Path, found: _Pack, name: str) -> zipfile.ZipInfo:
    member = found.members.get(name)
    if member is None:  # the pack was replaced since
        raise ForeignFileError(f"{pack}: {name} is not in it; restore it from a copy")
    return member


def pack_problem(pack: Path) -> str | None:
    """Return why a pack cannot be used; the content of every file in it is compared with its checksum."""
    try:
        for name in members_of(pack):
            without_stale(functools.partial(copy_member, pack, name, _Nothing()))
    except ForeignFileError as error:
        return str(error)
    return None


class _Nothing:
    def write(self, content: bytes, /) -> object:
        """Take bytes and do nothing with them."""


@contextlib.contextmanager
def _opened_pack(path: Path) -> Iterator[_Pack]:
    with _LOCK, opened(path, follow_links=False) as file:
        try:
            pack = _known(path, file)
            pack.handle.file = file
            try:
                yield pack
            finally:
                pack.handle.file = io.BytesIO()
        except DAMAGE as error:
            problem = " ".join(str(error).split()) or type(error).__name__
            raise ForeignFileError(
                f"{path} is damaged: {problem}; restore it from a copy"
            ) from error


def _known(path: Path, file: BinaryIO) -> _Pack:
    """Return a pack, whose list of names is read if it is new or was replaced."""
    status = os.fstat(file.fileno())
    signature = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    pack = _KNOWN.pop(path, None)
    if pack is None or pack.signature != signature:
        handle = _Handle(path)
        handle.file = file
        content = zipfile.ZipFile(handle)
        pack = _Pack(signature, handle, content, _checked(path, content, status.st_size))
    _KNOWN[path] = pack  # the one that was used last is the last to go
    while len(_KNOWN) > _MAX_KNOWN:
        del _KNOWN[next(iter(_KNOWN))]
    return pack


def _checked(path: Path, content: zipfile.ZipFile, n_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a pack by name.

    Raises:
        ForeignFileError: one of them is none of a run, or they are too large.
    """
    members = content.infolist()
    size, limit = sum(member.file_size for member in members), max_unpacked_bytes(n_bytes)
    if len(members) > MAX_FILES or size > limit:
        raise ForeignFileError(
            f"{path} is not safe to read: expected at most {MAX_FILES:,} files of {limit:,} bytes, found "
            f"{len(members):,} of {size:,}; restore it from a copy"
        )
    files: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        problem = member_problem(member) or _name_problem(member)
        if problem is None and member.filename in files:
            problem = "is in it twice"
        if problem is not None:
            raise ForeignFileError(
                f"{path} is not safe to read: {member.filename!a} {problem}; restore it from a copy"
            )
        if not member.is_dir():
            files[member.filename] = member
    return files


def _name_problem(member: zipfile.ZipInfo) -> str | None:
    run, _, name = member.filename.partition("/")
    if RUN_FOLDER.fullmatch(run) and (is_run_file(name) or (member.is_dir() and not name)):
        return None
    return "is no file of a run"
