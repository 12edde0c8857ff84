"""What parent and worker say to each other: one task down, then stages and one last message up.

Messages travel as msgpack bytes over one pipe. A new kind of message is added here only; the type
checker then finds every reader.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from llem_energy import ExperimentResult, Prior


class Task(msgspec.Struct, frozen=True, tag="task"):
    """Measure this now; sent when the run is due."""

    config: str
    """An `ExperimentConfig` as JSON."""
    settings: str
    """The `Settings` as JSON."""
    timeseries: str
    """Path of the file for the samples."""
    prior: Prior = Prior()
    """What earlier runs have found out about this machine."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The process has started and imported what it needs; always the first message."""


class Stage(msgspec.Struct, frozen=True, tag="stage"):
    """The measurement has reached one of `llem_energy.STAGES`."""

    name: str


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The measurement succeeded; always the last message."""

    result: ExperimentResult


Reason = Literal[
    "exception", "gpu_memory", "memory",
    "oom_killer", "signal", "exit", "timeout", "stalled", "pipe", "garbage",
]  # fmt: skip
"""Why a run has no result: the first line is what a run says of itself, the second what its parent
found: killed by the kernel for want of memory, by another signal, left without a last message,
over its time, without progress, its pipe closed while it went on, not a message of ours."""

CRASHES: frozenset[Reason] = frozenset(
    {"oom_killer", "signal", "exit", "stalled", "pipe", "garbage"}
)
"""What may go better the next time. An exception comes again, and a timeout costs its time again."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The measurement raised, hung or died; always the last message."""

    error_type: str
    """Class name, e.g. `BackendError`; from the parent `Timeout`, `Stalled`, `ProcessDied` or
    `BadMessage`."""
    message: str
    traceback: str = ""
    reason: Reason = "exception"
    log_tail: str = ""
    """The last lines of the log that this attempt wrote, or of one that hangs where it does; filled
    in by the parent."""


class Interrupted(msgspec.Struct, frozen=True):
    """The run was stopped on request; made by the parent, never sent."""


Message = Ready | Stage | Finished | Failed
Outcome = Finished | Failed | Interrupted

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
