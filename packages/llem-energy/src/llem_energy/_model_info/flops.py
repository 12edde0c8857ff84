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
    """Operations of all prompts and outputs of the window, without tokens from a cache."""
    method: str
    """What was counted."""
    confidence: Literal["high", "medium", "low"]
    """How well the architecture is known."""
    prefill: float | None = None
    """Of the total, those of the first token: reading the prompts. None if they are not counted
    separately, and in formats 1 to 3."""
    decode: float | None = None
    """Of the total, those of all further tokens."""


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


def answer_flops(
    decoder: Decoder, input_tokens: int, output_tokens: int, cached_tokens: int = 0
) -> Flops:
    """Return the operations for one prompt and its output.

    Prefill reads the prompt and gives the first token; decode is one step per further token. The
    model never reads the last token.

    Args:
        decoder: the sizes.
        input_tokens: of the prompt.
        output_tokens: at least 1.
        cached_tokens: at the start of the prompt, not read again. At least the last token of a
            prompt is always read, because its logits give the first token of the output.
    """
    body = decoder.n_linear_weights - decoder.n_output_weights
    n_read = max(input_tokens - cached_tokens, 1)
    n_steps = max(output_tokens - 1, 0)
    # Prefill compares every token that it reads with every position, masked or not.
    n_read_pairs = n_read * input_tokens * len(decoder.windows)
    n_step_pairs = sum(steps_positions(input_tokens, n_steps, window) for window in decoder.windows)
    per_pair = 4.0 * decoder.attention_width
    prefill = 2.0 * (body * n_read + decoder.n_output_weights) + per_pair * n_read_pairs
    decode = 2.0 * decoder.n_linear_weights * n_steps + per_pair * n_step_pairs
    return Flops(
        total=prefill + decode, prefill=prefill, decode=decode, method=METHOD, confidence="medium"
    )


def steps_positions(input_tokens: int, n_steps: int, window: int | None) -> int:
    """Return the number of positions that one layer attends to, over all steps of an output.

    Each step attends to itself and the positions before it, as far as its window reaches.
    """
    n_free = n_steps if window is None else min(max(window - input_tokens, 0), n_steps)
    growing = n_free * input_tokens + n_free * (n_free + 1) // 2
    return growing + (n_steps - n_free) * (window or 0)
