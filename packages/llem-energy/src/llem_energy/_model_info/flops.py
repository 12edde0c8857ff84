"""Floating-point operations of a decoder, from its architecture. For reference only.

A multiplication with a weight matrix costs 2 operations per weight and token; attention costs, per
layer and new token, 2 for the scores and 2 for the mix, over every position it attends to.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Flops(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Floating-point operations of the window; for reference only, never part of an energy."""

    total: float
    method: str
    confidence: Literal["high", "medium", "low"]


METHOD = (
    "2 x weights of the matrices each token meets, of experts only those chosen, "
    "+ attention over the positions seen"
)


class Decoder(msgspec.Struct, frozen=True):
    """What the count needs of an architecture."""

    n_linear_weights: int
    """Weights of all matrices a token is multiplied with, the output layer included."""
    n_output_weights: int
    """The output layer's share; it is applied once per generated token only."""
    attention_width: int
    """Query heads x head dimension; key and value heads do not change this cost."""
    windows: tuple[int | None, ...]
    """Per layer, how many positions a token attends to at most; None: every one before it."""


def answer_flops(decoder: Decoder, input_tokens: int, output_tokens: int) -> float:
    """Return the operations of one answer: prefill, then one step per further token."""
    body = decoder.n_linear_weights - decoder.n_output_weights
    # The last token is chosen but never fed back, so the model sees one token less.
    n_seen = input_tokens + output_tokens - 1
    matrices = 2.0 * (body * n_seen + decoder.n_output_weights * output_tokens)
    positions = sum(_positions(input_tokens, n_seen, window) for window in decoder.windows)
    return matrices + 4.0 * decoder.attention_width * positions


def _positions(input_tokens: int, n_seen: int, window: int | None) -> int:
    """Return the pairs of tokens that one layer compares.

    Prefill computes the full square, masked or not; each step attends to what its window still
    holds, itself included.
    """
    steps = range(input_tokens + 1, n_seen + 1)
    return input_tokens**2 + sum(n if window is None else min(n, window) for n in steps)
