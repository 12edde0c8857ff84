"""The messages between parent and child: a start and a task down, then stages and one outcome up.

Add a new kind of message to the union here; the type checker then finds every reader.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llem_runner._executors.task import Task
from llem_runner._outcome import Failed, Finished


class Start(msgspec.Struct, frozen=True):
    """What a new process does before it is ready; the first message that it receives."""

    parent_pid: int
    """The process that it must not outlive."""
    tag: str
    """Goes into the environment of everything that it starts."""
    config: str
    """The `ExperimentConfig` as JSON; what it needs is imported before the task arrives."""
    measure: bytes
    """The function to call, pickled: its module and name."""
    main_module: dict[str, Any] | None
    """How to import the caller's main module, if `measure` is defined there."""
    bytecode: str | None
    """Folder for compiled Python files; None: where Python keeps them."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The process has started and imported what it needs; always the first message."""


class Stage(msgspec.Struct, frozen=True, tag="stage"):
    """The measurement has reached one of `llem_energy.STAGES`."""

    name: str


Message = Ready | Stage | Finished | Failed

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_START_DECODER = msgspec.msgpack.Decoder(Start)
_TASK_DECODER = msgspec.msgpack.Decoder(Task)


def encode(message: Start | Task | Message) -> bytes:
    """Return a message as msgpack."""
    return _ENCODER.encode(message)


def decode(content: bytes) -> Message:
    """Return a message of the child.

    Raises:
        msgspec.MsgspecError: not a message of this version.
    """
    return _DECODER.decode(content)


def decode_start(content: bytes) -> Start:
    """Return the first message of the parent."""
    return _START_DECODER.decode(content)


def decode_task(content: bytes) -> Task:
    """Return the task that the parent has sent."""
    return _TASK_DECODER.decode(content)
