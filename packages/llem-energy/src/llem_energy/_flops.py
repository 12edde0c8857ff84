"""Floating-point operations of a decoder, from its architecture. For reference only.

A multiplication with a weight matrix costs 2 operations per weight and token; attention costs, per
layer and new token, 2 for the scores and 2 for the mix, over every position seen so far.
"""

from __future__ import annotations

import msgspec

METHOD = "2 x weights of linear layers per token + attention over the positions seen"


class Decoder(msgspec.Struct, frozen=True):
    """What the count needs of an architecture."""

    n_linear_weights: int
    """Weights of all matrices a token is multiplied with, the output layer included."""
    n_output_weights: int
    """The output layer's share; it is applied once per generated token only."""
    n_layers: int
    attention_width: int
    """Query heads x head dimension; key and value heads do not change this cost."""


def answer_flops(decoder: Decoder, input_tokens: int, output_tokens: int) -> float:
    """Return the operations of one answer: prefill, then one step per further token."""
    body = decoder.n_linear_weights - decoder.n_output_weights
    # The last token is chosen but never fed back, so the model sees one token less.
    n_seen = input_tokens + output_tokens - 1
    matrices = 2.0 * (body * n_seen + decoder.n_output_weights * output_tokens)
    # Prefill computes the full square; each step attends to everything before it and itself.
    positions = input_tokens**2 + sum(range(input_tokens + 1, n_seen + 1))
    return matrices + 4.0 * decoder.n_layers * decoder.attention_width * positions
