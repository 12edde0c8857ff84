"""Messages over a pair of sockets: length-prefixed, and read without waiting for the rest of one.

A child that stops in the middle of a message, or announces one of 2 GB, must not make the parent
miss Ctrl-C or the deadline, nor use up its memory. `multiprocessing.Connection` reads whole
messages only, so both ends use this module instead.
"""

from __future__ import annotations

import socket
import struct

MAX_MESSAGE_BYTES = 256 * 2**20
_HEADER = struct.Struct("!I")  # the length of the message, in bytes
_CHUNK_BYTES = 2**20


class MalformedMessage(Exception):  # noqa: N818  # it describes what was received, not a bug here
    """The bytes that were received are not a message."""


def message_sockets() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets; a child process can inherit either."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(True)  # whatever `socket.setdefaulttimeout` says
    return ends


def send_message(end: socket.socket, content: bytes) -> None:
    """Send a message, and wait until the other side has read most of it.

    Raises:
        OSError: the other side is gone.
    """
    end.sendall(_HEADER.pack(len(content)) + content)


def receive_message(end: socket.socket) -> bytes:
    """Wait for the next message, and return it; what follows it stays in the socket.

    Raises:
        EOFError: the other side is closed.
        OSError: the other side is gone.
        MalformedMessage: no message has such a length.
    """
    return _receive(end, _length(_receive(end, _HEADER.size)))


def _receive(end: socket.socket, n_bytes: int) -> bytes:
    content = bytearray()
    while len(content) < n_bytes:
        chunk = end.recv(min(_CHUNK_BYTES, n_bytes - len(content)))
        if not chunk:
            raise EOFError
        content += chunk
    return bytes(content)


def _length(header: bytes | bytearray) -> int:
    n_bytes = int(_HEADER.unpack_from(header)[0])
    if n_bytes > MAX_MESSAGE_BYTES:
        raise MalformedMessage(
            f"expected a message of at most {MAX_MESSAGE_BYTES} bytes, found {n_bytes} bytes"
        )
    return n_bytes


class MessageReader:
    """Puts the parts of messages together."""

    def __init__(self, end: socket.socket) -> None:
        """Read from a socket; its owner closes it."""
        self._socket = end
        self._buffer = bytearray()

    def read(self) -> list[bytes]:
        """Read once, and return the messages that are complete; call it when data has arrived.

        Raises:
            EOFError: the other side is closed.
            OSError: the other side is gone.
            MalformedMessage: no message has such a length.
        """
        chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise EOFError
        self._buffer += chunk
        messages = []
        while (end := self._end_of_first()) is not None and len(self._buffer) >= end:
            messages.append(bytes(self._buffer[_HEADER.size : end]))
            del self._buffer[:end]
        return messages

    def _end_of_first(self) -> int | None:
        """Return where the first message ends, or None if its length has not arrived yet."""
        if len(self._buffer) < _HEADER.size:
            return None
        return _HEADER.size + _length(self._buffer)
