"""Read files that other people wrote: models, adapters, data sets, results of another person.

    from llem_config.foreign_files import ForeignFileError, read_json
    data = read_json(folder / "config.json", max_bytes=10_000_000)

A name in a foreign folder may be a pipe, on which a reader waits without end, or a device, which never
ends. A file may have any size, and JSON in it any depth. Here only regular files are opened, at most
`max_bytes` are read, and every reason not to use a file is one sentence that begins with its path.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from llem_config._errors import LlemError

__all__ = [
    "MAX_DEPTH", "ForeignFileError", "create_file", "delete_file", "file_problem", "kind_of", "opened",
    "parse_json", "pinned_folder", "read_bytes", "read_json", "replace_file", "shown",
]  # fmt: skip

MAX_DEPTH = 100
"""Of JSON: objects and lists inside each other."""
_MAX_SHOWN = 60
_PINNED: dict[Path, int] = {}
"""Descriptors of the folders whose files are created, opened and deleted by descriptor. Not a context
variable, because the thread that takes samples writes files too."""
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a link"),
)


class ForeignFileError(LlemError):
    """A foreign file cannot be read; the message begins with its path."""


def file_problem(path: Path, max_bytes: int | None = None) -> str | None:
    """Return why a file cannot be read, without opening it; None if it can.

    Args:
        path: of the file; links are followed.
        max_bytes: the largest size that is read; None: any.
    """
    try:
        return _status_problem(path, path.stat(), max_bytes)
    except (OSError, ValueError) as error:
        return _unreadable(path, error)


@contextmanager
def opened(
    path: Path, *, max_bytes: int | None = None, follow_links: bool = True
) -> Iterator[BinaryIO]:
    """Open a regular file for reading bytes.

    Args:
        path: of the file.
        max_bytes: the largest size that is accepted; None: any.
        follow_links: whether the name itself may be a symbolic link.

    Raises:
        ForeignFileError: it is missing, too large or no regular file.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        # Before opening too, because opening a device may change its state.
        name, folder = _pinned(path)
        before = os.stat(name, dir_fd=folder, follow_symlinks=follow_links)
        if problem := _status_problem(path, before, max_bytes):
            raise ForeignFileError(problem)
        flags |= 0 if follow_links else os.O_NOFOLLOW
        file = os.fdopen(os.open(name, flags, dir_fd=folder), "rb")
    except (OSError, ValueError) as error:
        raise ForeignFileError(_unreadable(path, error)) from error
    with file:
        if problem := _status_problem(path, os.fstat(file.fileno()), max_bytes):
            raise ForeignFileError(problem)
        yield file


def create_file(path: Path) -> BinaryIO:
    """Create a file for writing bytes; what has its name, such as a link, is deleted and not written.

    Raises:
        OSError: it cannot be created.
    """
    delete_file(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    name, folder = _pinned(path)
    return os.fdopen(os.open(name, flags, 0o666, dir_fd=folder), "wb")


def delete_file(path: Path) -> None:
    """Delete a file, or a link itself; do nothing if there is none.

    Raises:
        OSError: it cannot be deleted.
    """
    name, folder = _pinned(path)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


@contextmanager
def pinned_folder(path: Path, *, follow_links: bool = False) -> Iterator[None]:
    """Open a folder, and use its descriptor for its files until the context ends.

    Another user of a shared folder may put a link in its place at any time. Until the context ends,
    the functions of this module then still create, open and delete files in the folder that was opened.

    Args:
        path: of the folder, as in the paths of the files.
        follow_links: whether the name itself may be a symbolic link.

    Raises:
        ForeignFileError: it is missing, a link, or no folder.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        number = os.open(path, flags if follow_links else flags | os.O_NOFOLLOW)
    except OSError as error:
        if not follow_links and path.is_symlink():
            problem = f"{path}: expected a folder, found a link that is not followed; remove it"
            raise ForeignFileError(problem) from error
        raise ForeignFileError(_unreadable(path, error)) from error
    _PINNED[path] = number
    try:
        yield
    finally:
        if _PINNED.get(path) == number:  # not if another thread has pinned the same folder since
            del _PINNED[path]
        os.close(number)


def _pinned(path: Path) -> tuple[str | Path, int | None]:
    """Return how to name a file for the system: relative to a pinned folder, or by its path."""
    folder = _PINNED.get(path.parent)
    return (path, None) if folder is None else (path.name, folder)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file at once: others read the old content or the new, and never a part of it.

    What has the name is replaced; a link is not followed.

    Raises:
        OSError: it cannot be written; the old file is unchanged.
    """
    # A unique name for each writer: writers may be threads, or processes on several machines.
    import tempfile  # takes longer than the rest of this module

    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(scratch).replace(path)
    except OSError:
        Path(scratch).unlink(missing_ok=True)
        raise


def read_bytes(path: Path, *, max_bytes: int, follow_links: bool = True) -> bytes:
    """Return the content of a regular file; see `opened` for the arguments.

    Raises:
        ForeignFileError: it cannot be read, or has more than `max_bytes`.
    """
    with opened(path, max_bytes=max_bytes, follow_links=follow_links) as file:
        try:
            # Not `max_bytes` at once: that reserves memory for the largest file. The size may be unknown.
            step, content = max(os.fstat(file.fileno()).st_size + 1, 65_536), b""
            while more := file.read(min(step, max_bytes + 1 - len(content))):
                content += more
        except OSError as error:
            raise ForeignFileError(_unreadable(path, error)) from error
    if len(content) > max_bytes:
        raise ForeignFileError(_too_large(path, f"more than {max_bytes:,}", max_bytes))
    return content


def read_json(path: Path, *, max_bytes: int, follow_links: bool = True) -> dict[str, Any]:
    """Return the JSON object in a regular file; see `opened` for the arguments.

    Raises:
        ForeignFileError: it cannot be read, or has no JSON object; see `parse_json`.
    """
    content = read_bytes(path, max_bytes=max_bytes, follow_links=follow_links)
    return parse_json(content, str(path))


def parse_json(content: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in UTF-8 text.

    Args:
        content: the text.
        where: begins the sentence of an error, e.g. the path of the file.

    Raises:
        ForeignFileError: the text is no JSON object, is nested more than `MAX_DEPTH` times, or
            has a key twice in one object.
    """
    try:
        data = json.loads(content.decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise ForeignFileError(
            f"{where}: expected JSON: invalid UTF-8, byte 0x{byte:02x} at position {error.start}; "
            "download the file again"
        ) from error
    except _DuplicateKeyError as error:
        raise ForeignFileError(
            f"{where}: expected each key once, found {shown(error.key)} twice in one object; "
            "correct the file"
        ) from error
    except ValueError as error:
        raise ForeignFileError(
            f"{where}: expected JSON: {error}; download the file again"
        ) from error
    except RecursionError as error:
        raise ForeignFileError(_too_deep(where)) from error
    if not isinstance(data, dict):
        raise ForeignFileError(
            f"{where}: expected an object, found {kind_of(data)}; correct the file"
        )
    if _is_deeper(data, MAX_DEPTH):
        raise ForeignFileError(_too_deep(where))
    return data


def kind_of(value: object) -> str:
    """Return what a JSON value is, for the end of `expected ..., found ...`."""
    if value is None:
        return "null"
    names = ((bool, "true or false"), (dict, "an object"), (list, "a list"), (str, "text"))
    return next((name for kind, name in names if isinstance(value, kind)), "a number")


def shown(value: object) -> str:
    """Return a JSON value for a message: on one line, short, and printable."""
    if isinstance(value, dict | list):
        return kind_of(value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"a number of more than {30} digits"
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


class _DuplicateKeyError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys: set[str] = set()
        for key, _ in pairs:
            if key in keys:
                raise _DuplicateKeyError(key)
            keys.add(key)
    return data


def _is_deeper(data: object, max_depth: int) -> bool:
    level: list[object] = [data]
    for _ in range(max_depth + 1):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if not below:
            return False
        level = below
    return True


def _status_problem(path: Path, status: os.stat_result, max_bytes: int | None) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS if test(status.st_mode)), "no file")
        return f"{path}: expected a regular file, found {kind}; remove it or replace it by a file"
    if max_bytes is not None and status.st_size > max_bytes:
        return _too_large(path, f"{status.st_size:,}", max_bytes)
    return None


def _too_large(path: Path, size: str, max_bytes: int) -> str:
    return f"{path}: expected at most {max_bytes:,} bytes, found {size}; is it the right file?"


def _too_deep(where: str) -> str:
    return (
        f"{where}: expected at most {MAX_DEPTH} objects and lists inside each other, found more; "
        "correct the file"
    )


def _unreadable(path: Path, error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return f"{str(path)!r}: cannot be read: {error}; correct the path"  # a NUL in the name
    if error.errno == errno.ELOOP:
        return f"{path}: expected a file, found a link that is not followed; replace it by a file"
    return f"{path}: cannot be read: {error.strerror or error}"
