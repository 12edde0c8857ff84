"""Strikes passwords out of a log of any size, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from llem_config.credentials import struck_out

_BLOCK_BYTES = 2**20
_MAX_KEY_BYTES = 2**14  # a private key of several lines
_KEY_BEGIN, _KEY_END = b"-----BEGIN", b"-----END"


def find_secrets(log: BinaryIO, start: int) -> bool:
    """Return whether an open log has passwords after its first `start` bytes."""
    log.seek(start)
    return any(_struck_out(part) != part for part in _parts(log))


def copy_struck_out(log: BinaryIO, copy: BinaryIO, start: int) -> None:
    """Write a log with `***` in place of passwords; its first `start` bytes are copied.

    Raises:
        OSError: the copy cannot be written.
    """
    log.seek(0)
    while start and (content := log.read(min(start, _BLOCK_BYTES))):
        start -= len(content)
        copy.write(content)
    for part in _parts(log):
        copy.write(_struck_out(part))


def _struck_out(part: bytes) -> bytes:
    text = part.decode(errors="surrogateescape")
    return struck_out(text).encode(errors="surrogateescape")


def _parts(log: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a log in parts that end between two words, and outside of a private key."""
    rest = b""
    while content := log.read(_BLOCK_BYTES):
        rest += content
        end = _end_of_part(rest)
        yield rest[:end]
        rest = rest[end:]
    yield rest


def _end_of_part(content: bytes) -> int:
    last = max(content.rfind(mark) for mark in (b"\n", b"\r"))
    if last < len(content) - _MAX_KEY_BYTES:  # a very long line
        last = max(last, content.rfind(b" "))
    end = last + 1 or len(content)
    begin = content.rfind(_KEY_BEGIN, 0, end)
    is_open = begin > end - _MAX_KEY_BYTES and content.find(_KEY_END, begin, end) < 0
    return begin if is_open and begin > 0 else end
