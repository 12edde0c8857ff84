"""Messages out of a pipe without ever waiting for the rest of one.

A child that stops in the middle of a message, or claims one of 2 GB, must cost the parent neither
its attention to Ctrl-C and the deadline nor its memory.
"""

from __future__ import annotations

import os
import struct

LARGEST_MESSAGE_BYTES = 256 * 2**20
_HEADER = struct.Struct("!i")  # how `multiprocessing.connection` sends lengths under 2 GiB
_CHUNK_BYTES = 2**20


class Garbage(Exception):  # noqa: N818  # it is what came, no bug
    """What came is no message."""


class FrameReader:
    """Puts the pieces of messages together."""

    def __init__(self, descriptor: int) -> None:
        """Read from a pipe or socket; it stays its owner's."""
        self._descriptor = descriptor
        self._buffer = bytearray()

    def read(self) -> list[bytes]:
        """Return the messages that are complete, after one read; call it when there is something.

        Raises:
            EOFError: the other side is closed.
            OSError: the other side is gone.
            Garbage: a length that no message of ours has.
        """
        piece = os.read(self._descriptor, _CHUNK_BYTES)
        if not piece:
            raise EOFError
        self._buffer += piece
        messages = []
        while (end := self._end()) is not None and len(self._buffer) >= end:
            messages.append(bytes(self._buffer[_HEADER.size : end]))
            del self._buffer[:end]
        return messages

    def _end(self) -> int | None:
        """Return where the first message ends, or None if not even its length is here."""
        if len(self._buffer) < _HEADER.size:
            return None
        (length,) = _HEADER.unpack_from(self._buffer)
        if not 0 <= length <= LARGEST_MESSAGE_BYTES:
            raise Garbage(f"a message of {length} bytes")
        return _HEADER.size + int(length)
