"""The messages between parent and child: one task down, then stages and one outcome up.

Add a new kind of message to the union here; the type checker then finds every reader.
"""

from __future__ import annotations

import msgspec

from llem_runner._executors.task import Task
from llem_runner._outcome import Failed, Finished


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The process has started and imported what it needs; always the first message."""


class Stage(msgspec.Struct, frozen=True, tag="stage"):
    """The measurement has reached one of `llem_energy.STAGES`."""

    name: str


Message = Ready | Stage | Finished | Failed

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_TASK_DECODER = msgspec.msgpack.Decoder(Task)


def encode(message: Task | Message) -> bytes:
    """Return a message as msgpack."""
    return _ENCODER.encode(message)


def decode(content: bytes) -> Message:
    """Return a message of the child.

    Raises:
        msgspec.MsgspecError: not a message of this version.
    """
    return _DECODER.decode(content)


def decode_task(content: bytes) -> Task:
    """Return the task that the parent has sent."""
    return _TASK_DECODER.decode(content)
