"""The files of runs, packed or not: every reader of them goes through this module.

The runs of an attempt at a shard can be packed into one zip file in the folder of the attempt. A file keeps its
path, `shards/0007/a01/0123_c2_{model}_{hash8}/result.json`, whether it is there or in the pack. A file that is
there counts, because a packing that was killed leaves both, with the same content.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llem_config.foreign_files import ForeignFileError, opened, read_bytes
from llem_runner._storage.layout import PACK, RUN_FOLDER
from llem_runner._storage.pack_reading import copy_member, last_bytes_of, members_of
from llem_runner._storage.stale_handles import list_folder, may_exist, without_stale
from llem_runner._storage.stored_values import SHARDS
from llem_runner._storage.temporary_copies import temporary_copy

_ATTEMPT = re.compile(r"a[0-9]{2,6}")
_PARQUET_MAGIC = b"PAR1"


def pack_of(attempt: Path) -> Path | None:
    """Return the pack in the folder of an attempt; None if it has none, or is no attempt.

    If the system cannot tell whether there is a pack, its path is returned, and reading it says why.
    """
    if not _ATTEMPT.fullmatch(attempt.name) or attempt.parent.parent.name != SHARDS:
        return None
    pack = attempt / PACK
    return pack if may_exist(pack) else None


@contextlib.contextmanager
def opened_run_file(path: Path, *, max_bytes: int | None = None) -> Iterator[BinaryIO]:
    """Open a file of a run for reading bytes; it can be read at any place.

    Args:
        path: of the file, as if it was not packed; any other file of a study is opened too.
        max_bytes: the largest size that is accepted; None: any.

    Raises:
        ForeignFileError: it is missing, too large, or no regular file; or the pack is damaged.
        TemporaryFolderError: it is in a pack, and cannot be copied to the folder for temporary files.
    """
    stack, file = without_stale(lambda: _open(path, max_bytes))
    with stack:
        yield file


def read_run_file(path: Path, *, max_bytes: int) -> bytes:
    """Return the content of a file of a run.

    Args:
        path: of the file, as if it was not packed.
        max_bytes: the largest size that is accepted.

    Raises:
        ForeignFileError: it is missing, too large, or no regular file; or the pack is damaged.
    """

    def read() -> bytes:
        try:
            return read_bytes(path, max_bytes=max_bytes, follow_links=False)
        except ForeignFileError as error:
            pack = _pack_with(path, error)
            if pack is None:
                raise
        content = io.BytesIO()
        copy_member(pack, _name_in_pack(path), content, max_bytes=max_bytes)
        return content.getvalue()

    return without_stale(read)


def has_run_file(path: Path) -> bool:
    """Return whether a name is in the folder of a run, or in the pack of its attempt.

    If the system cannot tell, it counts as there, and opening it says why.
    """
    return may_exist(path) or _is_packed(path)


def has_complete_samples(path: Path) -> bool:
    """Return whether a Parquet file of a run is complete: it begins and ends with the same bytes.

    Only its end is read, so that a merge need not read all samples.
    """
    try:
        return without_stale(lambda: _last_bytes(path, len(_PARQUET_MAGIC))) == _PARQUET_MAGIC
    except (OSError, ForeignFileError):
        return False


def list_as_unpacked(folder: Path) -> list[Path]:
    """Return what is in a folder of a study in order of the names, as if no run was packed.

    A pack that is damaged is named itself.

    Raises:
        OSError: the folder cannot be read.
    """
    in_pack: set[str] = set()
    if pack := pack_of(folder):
        with contextlib.suppress(ForeignFileError):
            in_pack = {name.partition("/")[0] for name in members_of(pack)}
    elif is_packed_run(folder):
        in_pack = {name.partition("/")[2] for name in _names_of(folder)}
    try:
        there = {path.name for path in list_folder(folder)}
    except FileNotFoundError:
        if not in_pack:
            raise
        there = set()
    if pack and in_pack:
        there.discard(PACK)
    return [folder / name for name in sorted(there | in_pack)]


def pack_that_has(path: Path) -> Path | None:
    """Return the pack in which a file of a run is; None if the file is not packed, or also beside the pack."""
    if may_exist(path) or not _is_packed(path):
        return None
    return path.parents[1] / PACK


def is_packed_run(folder: Path) -> bool:
    """Return whether files of a run are in the pack of its attempt."""
    return bool(RUN_FOLDER.fullmatch(folder.name) and _names_of(folder))


def packed_run_folders(attempt: Path) -> list[Path]:
    """Return the folders that the runs in a pack had, in order; none if it cannot be read."""
    pack = pack_of(attempt)
    if pack is None:
        return []
    try:
        names = {name.partition("/")[0] for name in members_of(pack)}
    except ForeignFileError:
        return []
    return [attempt / name for name in sorted(names)]


def _open(path: Path, max_bytes: int | None) -> tuple[contextlib.ExitStack, BinaryIO]:
    """Open a file of a run, and return it with what closes it."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened(path, max_bytes=max_bytes, follow_links=False))
        except ForeignFileError as error:
            pack = _pack_with(path, error)
            if pack is None:
                raise
            # The copy is complete and checked before anything is used of it.
            name = _name_in_pack(path)
            file = temporary_copy(
                path, lambda target: copy_member(pack, name, target, max_bytes=max_bytes)
            )
            stack.callback(file.close)
        return stack.pop_all(), file


def _last_bytes(path: Path, n_bytes: int) -> bytes:
    try:
        with opened(path, follow_links=False) as file:
            file.seek(-n_bytes, os.SEEK_END)
            return file.read(n_bytes)
    except ForeignFileError as error:
        pack = _pack_with(path, error)
        if pack is None:
            raise
    return last_bytes_of(pack, _name_in_pack(path), n_bytes)


def _pack_with(path: Path, error: ForeignFileError) -> Path | None:
    """Return the pack that has a file which was not found; None if none has it.

    Raises:
        ForeignFileError: the pack is damaged.
    """
    if not isinstance(error.__cause__, FileNotFoundError):
        return None
    pack = pack_of(path.parent.parent)
    return pack if pack is not None and _name_in_pack(path) in members_of(pack) else None


def _is_packed(path: Path) -> bool:
    pack = pack_of(path.parent.parent)
    if pack is None:
        return False
    try:
        return _name_in_pack(path) in members_of(pack)
    except ForeignFileError:
        return False


def _names_of(folder: Path) -> list[str]:
    """Return the names in the pack that are below the folder of a run."""
    pack = pack_of(folder.parent)
    if pack is None:
        return []
    try:
        return [name for name in members_of(pack) if name.startswith(f"{folder.name}/")]
    except ForeignFileError:
        return []


def _name_in_pack(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
