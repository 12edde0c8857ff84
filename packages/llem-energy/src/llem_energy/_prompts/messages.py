"""Reads a conversation from a cell of a data set: a list of messages.

Two layouts are in use: `role` and `content` in each message, or `from` and `value` (ShareGPT).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llem_energy._errors import DatasetError
from llem_energy._prompts.prompt import Chat
from llem_energy._prompts.table import kind_of, text_problem

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
}
"""Of the values of `from`."""

_INSTRUCTIONS = ("system", "developer")


def chat_from(value: Sequence[object], tools: object, place: str) -> Chat:
    """Return the conversation of a cell, without the answers at its end.

    Args:
        value: the messages.
        tools: the cell of the column `tools`; None if there is none.
        place: of the row, for later messages.

    Raises:
        DatasetError: a message is not one; the error names it.
    """
    if not value:
        raise DatasetError("expected messages, found an empty list; remove the row")
    messages = []
    for number, each in enumerate(value, 1):
        try:
            messages.append(_message(each))
        except DatasetError as error:
            raise DatasetError(f"message {number}: {error}") from error
    n_messages = len(messages)
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages or messages[-1]["role"] in _INSTRUCTIONS:
        last = messages[-1]["role"] if messages else "assistant"
        raise DatasetError(
            "expected a message of the user before the model's answer, found only one with the "
            f"role {last!r}; remove the row"
        )
    chat = Chat(tuple(messages), place, _tools(tools), n_messages - len(messages))
    try:
        json.dumps(chat.content(), ensure_ascii=False, allow_nan=False).encode()
        msgspec.json.encode(chat)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"expected messages of JSON values: {reason}") from error
    return chat


def _message(value: object) -> dict[str, Any]:
    """Return a message with `role` and `content`, and its other keys unchanged."""
    if not isinstance(value, Mapping):
        raise DatasetError(f"expected an object with role and content, found {kind_of(value)}")
    # Parquet files have every key in every message, with null where it is absent.
    message = {key: item for key, item in value.items() if item is not None}
    if "role" not in message and "from" in message:
        message = _renamed(message)
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role.strip():
        raise DatasetError(f"expected a role such as 'user', found {_found(message, 'role')}")
    if content is None and message.get("tool_calls"):
        content = ""
    if isinstance(content, list | tuple):
        content = "".join(_part(part) for part in content)
    if not isinstance(content, str):
        raise DatasetError(f"expected text as content, found {_found(message, 'content')}")
    problem = text_problem(content)
    may_be_empty = role not in ("user", "tool") and not content.strip()
    if problem is not None and not may_be_empty:
        raise DatasetError(problem)
    return message | {"content": content}


def _renamed(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message of the ShareGPT layout with the usual keys."""
    speaker = message["from"]
    if not isinstance(speaker, str) or speaker not in _ROLES:
        names = ", ".join(_ROLES)
        raise DatasetError(f"expected `from` to be one of {names}, found {str(speaker)[:60]!r}")
    others = {key: item for key, item in message.items() if key not in ("from", "value")}
    return others | {"role": _ROLES[speaker], "content": message.get("value")}


def _part(part: object) -> str:
    if not isinstance(part, Mapping):
        raise DatasetError(f"expected text as content, found a list with {kind_of(part)}")
    kind, text = part.get("type"), part.get("text")
    if kind == "text" and isinstance(text, str):
        return text
    raise DatasetError(
        f"expected text as content, found a part of the type {str(kind)[:60]!r}; llem measures text "
        "only: remove the row"
    )


def _tools(value: object) -> tuple[dict[str, Any], ...]:
    """Return the functions that the column `tools` describes, as a list or as JSON."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise DatasetError("expected JSON in the column 'tools', found other text") from error
    if not value:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, dict) for each in value):
        found = kind_of(value)
        raise DatasetError(f"expected a list of objects in the column 'tools', found {found}")
    return tuple(value)


def _found(message: Mapping[str, object], key: str) -> str:
    if key in message:
        return kind_of(message[key]) if message[key] != "" else "empty text"
    return f"only the keys {', '.join(repr(str(name)[:60]) for name in message) or 'none'}"
