"""Write and read files so that a crash or a full disk never leaves an incomplete file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from llem_runner._errors import StudyError

_Type = TypeVar("_Type")


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` so that a reader sees the old file or the new one, never a part of one.

    Raises:
        StudyError: the disk is full or the folder is gone; the old file is still intact.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            # Otherwise a power cut can leave an empty file under the new name.
            os.fsync(file.fileno())
        scratch.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StudyError(
            f"{path} cannot be written: {error.strerror}; its previous content is intact"
        ) from error


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk; until then a power cut can lose a new file's name."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Flush a file that another process wrote to disk; do nothing if there is no file.

    Raises:
        StudyError: the file cannot be flushed.
    """
    try:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}") from error


def remove_scratch(folder: Path) -> None:
    """Delete the temporary files of a killed `write_atomically`; call only with the lock held."""
    for scratch in folder.rglob(".*.tmp"):
        scratch.unlink(missing_ok=True)


def encode_json(data: Any) -> bytes:
    """Return a struct as indented JSON, with keys in the order of its fields."""
    return msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n"


def read_json(path: Path, kind: type[_Type]) -> _Type:
    """Read a file that this package wrote, checked field by field.

    Raises:
        StudyError: the file is missing, damaged, or from another version.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise StudyError(f"{path} is damaged or from another version of llem: {error}") from error
