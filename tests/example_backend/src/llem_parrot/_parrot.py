"""The model: it repeats the token that last followed the same token."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise


class Parrot:
    """Predicts the next token from the part of the text that it remembers."""

    def __init__(self, n_tokens: int, memory: int | None, *, playful: bool) -> None:
        self.n_tokens = n_tokens
        self._memory = memory
        self._playful = playful

    def next(self, heard: Sequence[int], chance: random.Random | None) -> int:
        """Return the token that followed most recently, or with `chance` a random earlier one."""
        remembered = heard[-self._memory :] if self._memory else heard
        last = remembered[-1]
        followed = [b for a, b in pairwise(remembered) if a == last]
        if self._playful and followed and followed[-1] == last:
            followed = []
        if not followed:  # a new token, always the same after the same token
            return (last * 2654435761 + 12345) % self.n_tokens
        return followed[-1] if chance is None else chance.choice(followed)
