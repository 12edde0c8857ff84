"""The types of prompts."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Prompt = str | tuple[int, ...]
"""Text, or token ids, which need no tokenizer."""


class Chat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A conversation whose next message is the model's answer.

    A backend makes token ids of it with a chat template.
    """

    messages: tuple[dict[str, Any], ...]
    """Each with at least `role` and `content`."""
    place: str
    """Its row in the data set, for messages."""
    tools: tuple[dict[str, Any], ...] = ()
    """Descriptions of functions that the model may call."""
    n_answers: int = 0
    """Messages of the assistant after the last message of the user, which were left out."""

    def content(self) -> object:
        """Return everything that a template can show, as plain data."""
        return [self.messages, self.tools] if self.tools else self.messages


def chat_of(text: str, place: str) -> Chat:
    """Return a conversation of one message of the user."""
    return Chat(({"role": "user", "content": text},), place)


class ChatTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The chat template that made the prompts."""

    sha256: str
    """Of its text in UTF-8."""
    origin: Literal["tokenizer", "file"]
    """Where the template is from."""
    name: str | None = None
    """Which of several templates of the tokenizer; None if there is only one."""
    uses_date: bool = False
    """Whether it can write today's date into the prompts, which then differ between days."""


class RenderedChats(msgspec.Struct, frozen=True):
    """Conversations as token ids, and the template that made them."""

    prompts: tuple[tuple[int, ...], ...]
    """The token ids of each prompt."""
    template: ChatTemplate
    """What they were made with."""


class ChatProblem(msgspec.Struct, frozen=True):
    """Why a conversation cannot be a prompt of a model."""

    index: int
    """Of the conversation, counted from 0; 0 too if all have the problem."""
    message: str
    """One sentence."""
    is_in_row: bool = False
    """Whether the problem is one of this conversation, not of all."""
