"""A prefix cache: it remembers which beginnings of prompts the parrot has read."""

from __future__ import annotations

from collections.abc import Sequence

BLOCK_TOKENS = 4
"""Beginnings are remembered in steps of this length, as in libraries with a paged cache."""


class PrefixCache:
    """The beginnings of all prompts since it was last cleared."""

    def __init__(self) -> None:
        self._known: set[tuple[int, ...]] = set()

    def read(self, prompt: Sequence[int]) -> int:
        """Remember a prompt; return how many of its first tokens were known before."""
        ends = range(BLOCK_TOKENS, len(prompt) + 1, BLOCK_TOKENS)
        beginnings = [tuple(prompt[:end]) for end in ends]
        n_known = max((len(b) for b in beginnings if b in self._known), default=0)
        self._known.update(beginnings)
        return n_known

    def clear(self) -> None:
        """Forget all prompts."""
        self._known.clear()
