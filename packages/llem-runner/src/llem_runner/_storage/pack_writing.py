"""Writes a pack, reads it back from the disk, and gives it its name if it is what was written."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import operator
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from llem_config.foreign_files import ForeignFileError, opened, pinned_folder
from llem_runner._storage.folders import create_scratch, sync_entries
from llem_runner._storage.layout import LOG, PACK
from llem_runner._storage.pack_reading import Writable, copy_member

OnStep = Callable[[str], None]
"""Called after each step of a packing, with its name."""
_BLOCK_BYTES = 2**20
_READ, _WRITE = 0o444, 0o222
_SHRUNK = (".parquet", ".parquet.old")
"""They are compressed already."""
_FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # of a zip file


class LooseFile(NamedTuple):
    """A file in the folder of a run."""

    run: str
    """Name of the folder."""
    name: str
    status: os.stat_result
    """When it was found."""

    @property
    def in_pack(self) -> str:
        """Return its name in a pack."""
        return f"{self.run}/{self.name}"

    def is_as_found(self, status: os.stat_result) -> bool:
        """Return whether a status is that of the same file with the same content."""
        same = ("st_ino", "st_size", "st_mtime_ns")
        return all(getattr(status, each) == getattr(self.status, each) for each in same)

    @property
    def is_log(self) -> bool:
        """Return whether it is a log, also one that was moved aside."""
        return self.name.startswith(LOG)

    def is_hidden_from_readers(self, mode: int) -> bool:
        """Return whether a user may read a pack with these permissions who must not read this log."""
        return self.is_log and bool(mode & _READ & ~self.status.st_mode)


class Digest:
    """Computes the SHA-256 of what is written."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._digest = hashlib.sha256()

    @property
    def value(self) -> str:
        """Return the digest of everything so far."""
        return self._digest.hexdigest()

    def write(self, content: bytes, /) -> int:
        """Take the next bytes."""
        self._digest.update(content)
        return len(content)


def write_pack(
    attempt: Path,
    folder: int,
    mode: int,
    earlier: Mapping[str, zipfile.ZipInfo],
    added: Sequence[LooseFile],
    on_step: OnStep,
) -> None:
    """Replace the pack of an attempt by one that has more files.

    Args:
        attempt: folder of the attempt.
        folder: its descriptor.
        mode: permissions of the pack.
        earlier: the files in the present pack; empty if there is none.
        added: the files that are added.
        on_step: called after each step.

    Raises:
        ForeignFileError: a file cannot be read, or was changed since it was found.
        OSError: the pack cannot be written, or what was read back is not what was written.
    """
    scratch, number = create_scratch(folder, mode)
    try:
        with os.fdopen(number, "wb") as file:
            with contextlib.suppress(OSError):  # not every file system can; then the umask counts
                os.fchmod(file.fileno(), mode)  # whatever the umask is now
            digests = dict(_fill(file, attempt, earlier, added, on_step))
            on_step("written")
            file.flush()
            os.fsync(file.fileno())
            # What is read back then comes from the disk.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        on_step("flushed")
        _check_written(folder, scratch, digests)
        on_step("verified")
        os.replace(scratch, PACK, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch, dir_fd=folder)
        raise
    sync_entries(folder)
    on_step("named")


@contextlib.contextmanager
def opened_loose(attempt: Path, file: LooseFile) -> Iterator[BinaryIO]:
    """Open a file that was found in an attempt.

    Raises:
        ForeignFileError: it cannot be read, or was changed since it was found.
    """
    run = attempt / file.run
    with pinned_folder(run), opened(run / file.name, follow_links=False) as source:
        if not file.is_as_found(os.fstat(source.fileno())):
            raise ForeignFileError(f"{run / file.name} was changed since it was found")
        yield source


def mode_of_pack(earlier: os.stat_result | None, files: Sequence[LooseFile]) -> int:
    """Return the permissions of a pack: a user who can read it can read all results in it.

    Args:
        earlier: status of the present pack; None if there is none.
        files: what may be added. A log that is more private than the pack must not be added.
    """
    modes = [file.status.st_mode for file in files if not file.is_log]
    modes += [] if earlier is None else [earlier.st_mode]
    mode = _READ | _WRITE
    for each in modes:
        mode &= each
    if not modes:  # only logs: the least private one decides, and those that are more private stay
        mode &= functools.reduce(operator.or_, (file.status.st_mode for file in files), 0)
    return mode | stat.S_IRUSR | stat.S_IWUSR


def _fill(
    file: BinaryIO,
    attempt: Path,
    earlier: Mapping[str, zipfile.ZipInfo],
    added: Sequence[LooseFile],
    on_step: OnStep,
) -> Iterator[tuple[str, str]]:
    """Write all files into a new pack; yield the name and the SHA-256 of each."""
    with zipfile.ZipFile(file, "w") as content:
        for name, before in earlier.items():
            info = zipfile.ZipInfo(name, before.date_time)
            info.external_attr, info.file_size = before.external_attr, before.file_size
            info.compress_type = before.compress_type
            digest = Digest()
            with content.open(info, "w") as target:
                copy_member(attempt / PACK, name, _Tee(target, digest))
            yield name, digest.value
        for loose in added:
            digest = Digest()
            with opened_loose(attempt, loose) as source, content.open(_info(loose), "w") as target:
                shutil.copyfileobj(source, _Tee(target, digest), _BLOCK_BYTES)
            on_step(f"added {loose.name}")
            yield loose.in_pack, digest.value


def _info(file: LooseFile) -> zipfile.ZipInfo:
    status = file.status
    info = zipfile.ZipInfo(file.in_pack, max(time.gmtime(status.st_mtime)[:6], _FIRST_TIME))
    info.external_attr, info.file_size = status.st_mode << 16, status.st_size
    is_shrunk = file.name.endswith(_SHRUNK)
    info.compress_type = zipfile.ZIP_STORED if is_shrunk else zipfile.ZIP_DEFLATED
    return info


def _check_written(folder: int, name: str, digests: Mapping[str, str]) -> None:
    """Return if a new pack has the files that were written into it.

    Raises:
        OSError: it has not.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    found: dict[str, str] = {}
    with (
        os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file,
        zipfile.ZipFile(file) as content,
    ):
        for each in content.namelist():
            digest = Digest()
            with content.open(each) as source:
                shutil.copyfileobj(source, digest, _BLOCK_BYTES)
            found[each] = digest.value
    if found != digests:
        raise OSError(errno.EIO, "what was read back from the disk is not what was written")


class _Tee:
    """Writes into a file, and computes the digest of it."""

    def __init__(self, target: Writable, digest: Digest) -> None:
        self._target, self._digest = target, digest

    def write(self, content: bytes, /) -> int:
        """Write the next bytes."""
        self._target.write(content)
        return self._digest.write(content)
