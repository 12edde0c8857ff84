"""What parent and worker say to each other: one task down, then stages and one last message up.

Messages travel as msgpack bytes over one pipe. A new kind of message is added here only; the type
checker then finds every reader.
"""

from __future__ import annotations

import msgspec

from llem_energy import Carryover
from llem_runner._outcome import Failed, Finished


class Task(msgspec.Struct, frozen=True, tag="task"):
    """Measure this now; sent when the run is due."""

    config: str
    """An `ExperimentConfig` as JSON."""
    settings: str
    """The `Settings` as JSON."""
    timeseries: str
    """Path of the file for the samples."""
    carryover: Carryover = Carryover()
    """What earlier runs have found out about this machine."""


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
    """Return a message as bytes."""
    return _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """Return what a worker said.

    Raises:
        msgspec.MsgspecError: not a message of this version.
    """
    return _DECODER.decode(data)


def decode_task(data: bytes) -> Task:
    """Return what the parent asked for."""
    return _TASK_DECODER.decode(data)
