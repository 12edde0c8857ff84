"""The model: a parrot that says what followed the last time it heard the same token."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise


class Parrot:
    """Predicts the next token from what it remembers of the text so far."""

    def __init__(self, n_tokens: int, memory: int | None, *, playful: bool) -> None:
        self.n_tokens = n_tokens
        self._memory = memory
        self._playful = playful

    def next(self, heard: Sequence[int], chance: random.Random | None) -> int:
        """Return the next token: what followed most recently, or by chance any that followed."""
        known = heard[-self._memory :] if self._memory else heard
        last = known[-1]
        followed = [b for a, b in pairwise(known) if a == last]
        if self._playful and followed and followed[-1] == last:
            followed = []
        if not followed:  # a word of its own, always the same for the same token
            return (last * 2654435761 + 12345) % self.n_tokens
        return followed[-1] if chance is None else chance.choice(followed)
