"""Messages between parent and child, over real sockets (STU-02)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from llem_runner._executors.local.message_pipe import (
    MAX_MESSAGE_BYTES,
    MalformedMessage,
    MessageReader,
    message_sockets,
    receive_message,
    send_message,
)

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    first, second = message_sockets()
    with first, second:
        yield first, second


def test_messages_that_arrive_together_are_separated(ends: Ends) -> None:
    contents = [b"one", b"", b"three" * 100]
    for content in contents:
        send_message(ends[0], content)
    assert MessageReader(ends[1]).read() == contents


def test_a_message_that_arrives_byte_by_byte_is_assembled(ends: Ends) -> None:
    reader = MessageReader(ends[1])
    messages = []
    for byte in b"\0\0\0\2ab\0\0\0\1c":
        ends[0].send(bytes([byte]))
        messages += reader.read()
    assert messages == [b"ab", b"c"]


def test_a_message_larger_than_every_buffer_arrives_whole(ends: Ends) -> None:
    content = bytes(range(256)) * (40 * 2**20 // 256)
    sender = threading.Thread(target=send_message, args=(ends[0], content))
    sender.start()
    received = receive_message(ends[1])
    sender.join()
    assert received == content


def test_an_impossible_message_length_is_refused_before_the_content_arrives(ends: Ends) -> None:
    ends[0].send((MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(MalformedMessage, match=f"at most {MAX_MESSAGE_BYTES} bytes, found"):
        MessageReader(ends[1]).read()


def test_closing_the_pipe_ends_the_messages(ends: Ends) -> None:
    ends[0].send(b"\0\0\0\5half")
    ends[0].close()
    reader = MessageReader(ends[1])
    assert reader.read() == []
    with pytest.raises(EOFError):
        reader.read()


def test_a_default_timeout_of_the_callers_program_does_not_apply() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.01)
    try:
        first, second = message_sockets()
    finally:
        socket.setdefaulttimeout(before)
    with first, second:
        assert (first.gettimeout(), second.gettimeout()) == (None, None)
