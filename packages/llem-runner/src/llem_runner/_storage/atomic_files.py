"""Writing and reading files so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from llem_runner._errors import StudyError

_Type = TypeVar("_Type")


def write_atomically(path: Path, *content: bytes) -> None:
    """Replace `path` so that a reader sees the old file or the new one, never a part.

    Args:
        path: the file.
        content: what it will hold, in one or many pieces.

    Raises:
        StudyError: disk full or folder gone; the previous file is still intact.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the new name on an empty file
        scratch.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StudyError(
            f"{path} cannot be written: {error.strerror}; what was written before is intact"
        ) from error


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk: a new one is lost in a power cut until then."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Flush a file that another process has written to disk; no file is nothing to do.

    Raises:
        StudyError: it cannot be.
    """
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}") from error


def remove_scratch(folder: Path) -> None:
    """Take away the files that a killed `write_atomically` has left; only its owner may ask."""
    for scratch in folder.rglob(".*.tmp"):
        scratch.unlink(missing_ok=True)


def encode_json(data: Any) -> bytes:
    """Return a struct as indented JSON with keys in the order of its fields."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def read_json(path: Path, kind: type[_Type]) -> _Type:
    """Read a file that this package wrote, checked field by field.

    Raises:
        StudyError: missing, damaged, or of another version.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise StudyError(f"{path} is not a file of this version of llem: {error}") from error
