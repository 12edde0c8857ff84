"""Floating-point operations of a decoder, computed from its architecture. For reference only.

Multiplying with a weight matrix takes 2 operations per weight and token. In each layer, attention
takes 2 operations per element for the scores and 2 for the weighted sum, for each new token and
each position that it attends to.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Flops(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Floating-point operations of the window; for reference only, never part of an energy."""

    total: float
    """Operations of all prompts and outputs of the window."""
    method: str
    """What was counted."""
    confidence: Literal["high", "medium", "low"]
    """How well the architecture is known."""


METHOD = (
    "2 x weights of the matrices each token meets, of experts only those chosen, "
    "+ attention over the positions seen"
)


class Decoder(msgspec.Struct, frozen=True):
    """The sizes of an architecture that the count needs."""

    n_linear_weights: int
    """Weights of all matrices that a token is multiplied with, including the output layer."""
    n_output_weights: int
    """Those of the output layer, which is applied only to generated tokens."""
    attention_width: int
    """Query heads x head dimension; key and value heads do not change the number of operations."""
    windows: tuple[int | None, ...]
    """For each layer, the max number of positions a token attends to; None: all before it."""


def answer_flops(decoder: Decoder, input_tokens: int, output_tokens: int) -> float:
    """Return the operations for one prompt and its output: prefill, then one step per token."""
    body = decoder.n_linear_weights - decoder.n_output_weights
    # The model never reads the last token, so it sees one token less.
    n_seen = input_tokens + output_tokens - 1
    matrices = 2.0 * (body * n_seen + decoder.n_output_weights * output_tokens)
    positions = sum(_positions(input_tokens, n_seen, window) for window in decoder.windows)
    return matrices + 4.0 * decoder.attention_width * positions


def _positions(input_tokens: int, n_seen: int, window: int | None) -> int:
    """Return the number of pairs of tokens that one layer compares.

    Prefill computes all pairs, masked or not; each step attends to the tokens in its window,
    itself included.
    """
    steps = range(input_tokens + 1, n_seen + 1)
    return input_tokens**2 + sum(n if window is None else min(n, window) for n in steps)
