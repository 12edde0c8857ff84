"""Write and read files so that a crash or a full disk never leaves an incomplete file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from llem_config.foreign_files import ForeignFileError, opened
from llem_config.text import one_line
from llem_runner._errors import NewerFormatError, StudyError
from llem_runner._storage.folders import open_folder, replace_file, sync_entries
from llem_runner._storage.stale_handles import may_exist, read_file

_Type = TypeVar("_Type")


class _Format(msgspec.Struct):
    """The one field that every format has."""

    schema_version: int


MAX_JSON_BYTES = 2**29
"""Of a manifest; one of 100,000 runs has about 70 MB."""


MAX_REASON = 300
"""Characters of why a file is damaged."""


def write_atomically(path: Path, content: bytes, *, follow_links: bool = True) -> None:
    """Replace `path` so that a reader sees the old file or the new one, never a part of one.

    Args:
        path: of the file; if it is a link, the link is replaced.
        content: of the file.
        follow_links: whether its folder may be a link, as the folder that a user names.

    Raises:
        StudyError: the disk is full or the folder is gone; the old file is still intact.
    """
    try:
        with open_folder(path.parent, follow_links=follow_links) as folder:
            replace_file(folder, path.name, content)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        kept = (
            "its previous content is intact" if os.path.lexists(path) else "there is no such file"
        )
        raise StudyError(f"{path} cannot be written: {reason_of(error)}; {kept}") from error


def reason_of(error: OSError | ValueError) -> str:
    """Return why the system refused something."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk; until then a power cut can lose a new file's name."""
    with open_folder(folder, follow_links=True) as number:
        sync_entries(number)


def sync_file(path: Path) -> None:
    """Flush a file that another process wrote to disk; do nothing if there is no file.

    Raises:
        StudyError: the file cannot be flushed, or is no regular file.
    """
    if not may_exist(path):
        return
    try:
        with opened(path, follow_links=False) as file:
            os.fsync(file.fileno())
    except ForeignFileError as error:
        raise StudyError(str(error)) from error
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}") from error


def remove_file(path: Path) -> None:
    """Delete a file, or a link itself; do nothing if there is none.

    Raises:
        StudyError: it cannot be deleted, e.g. because it is a folder.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StudyError(f"{path} cannot be deleted: {error.strerror}") from error


def encode_json(data: Any) -> bytes:
    r"""Return a struct as indented JSON, with keys in the order of its fields.

    Text that has no UTF-8, as in a path of other bytes, is written with escapes such as `\udce9`.
    """
    try:
        content = msgspec.json.encode(data)
    except UnicodeEncodeError:
        content = msgspec.json.encode(_with_escapes(msgspec.to_builtins(data)))
    return msgspec.json.format(content, indent=2) + b"\n"


def _with_escapes(data: Any) -> Any:
    match data:
        case str():
            return data.encode(errors="backslashreplace").decode()
        case dict():
            return {_with_escapes(key): _with_escapes(value) for key, value in data.items()}
        case list() | tuple():
            return [_with_escapes(value) for value in data]
    return data


def is_cut_off(path: Path) -> bool:
    """Return whether a file is no JSON, because a full disk or a lost machine cut its writing off."""
    try:
        msgspec.json.decode(read_file(path, max_bytes=MAX_JSON_BYTES))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    except (ForeignFileError, RecursionError):
        return False
    return False


def read_json(path: Path, kind: type[_Type]) -> _Type:
    """Read a file that this package wrote, checked field by field; a link is not followed.

    Raises:
        StudyError: the file is missing, damaged, or from another version (`NewerFormatError`).
    """
    content = b""
    try:
        content = read_file(path, max_bytes=MAX_JSON_BYTES)
        return msgspec.json.decode(content, type=kind)
    except ForeignFileError as error:
        raise StudyError(str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if newer := _newer_format(content, kind):
            raise NewerFormatError(f"{path}: {newer}; update llem") from error
        problem = one_line(str(error), MAX_REASON)  # it may repeat a value of the file
        raise StudyError(
            f"{path} is damaged or from another version of llem: {problem}; restore it from a copy"
        ) from error


def _newer_format(content: bytes, kind: Any) -> str | None:
    """Return a sentence if a file is of a later format than this version of llem reads."""
    try:
        found = msgspec.json.decode(content, type=_Format).schema_version
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    formats = [
        number
        for field in msgspec.structs.fields(kind)
        if field.name == "schema_version"
        for number in get_args(field.type)
    ]
    if not formats or found <= max(formats):
        return None
    expected = f"{min(formats)} to {max(formats)}" if len(formats) > 1 else f"{formats[0]}"
    return f"expected format {expected}, found {found}, of a newer llem"
