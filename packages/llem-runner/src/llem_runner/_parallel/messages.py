"""What the process of a shard tells the process that has started it: a line of JSON each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec

from llem_runner._events import Event
from llem_runner._shards.outcome import ShardOutcome

_EVENTS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Event)}


class WorkerTask(msgspec.Struct, frozen=True):
    """What a process is to do; the first line that it receives."""

    folder: str
    """Of the study."""
    shard: int
    settings: str
    """The `Settings` as JSON."""
    measure: bytes
    """The function that each run calls, pickled: its module and name."""
    retry: int
    retry_failed: bool
    time_limit_s: float | None


class _EventLine(msgspec.Struct, frozen=True, tag="event"):
    name: str
    fields: dict[str, Any]


class _EndLine(msgspec.Struct, frozen=True, tag="end"):
    outcome: ShardOutcome


class ErrorLine(msgspec.Struct, frozen=True, tag="error"):
    """The shard could not be run; one sentence."""

    message: str


_DECODER = msgspec.json.Decoder(_EventLine | _EndLine | ErrorLine)


def encode_line(message: Event | ShardOutcome | ErrorLine) -> bytes:
    """Return a message as one line."""
    line: _EventLine | _EndLine | ErrorLine
    if isinstance(message, ShardOutcome):
        line = _EndLine(message)
    elif isinstance(message, ErrorLine):
        line = message
    else:
        fields = msgspec.to_builtins(message, enc_hook=str)
        line = _EventLine(type(message).__name__, fields)
    return msgspec.json.encode(line) + b"\n"


def decode_line(line: bytes) -> Event | ShardOutcome | ErrorLine:
    """Return the message of one line.

    Raises:
        msgspec.MsgspecError: not a line of this version.
    """
    message = _DECODER.decode(line)
    if isinstance(message, _EndLine):
        return message.outcome
    if isinstance(message, ErrorLine):
        return message
    if message.name not in _EVENTS:
        raise msgspec.ValidationError(f"unknown event {message.name}")
    event: Event = msgspec.convert(message.fields, _EVENTS[message.name], dec_hook=_path)
    return event


def _path(kind: type[Any], value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(f"no field of an event is a {kind.__name__}")
