"""The bytes that a decoder moves between its device's memory and its processor, at least.

Each step reads every weight that it needs once, whatever the number of prompts, and the keys and
values of every position that it attends to. Prefill reads the weights once for a batch. What a
kernel moves beyond that is not counted: copies of a cache that grows, or the empty part of a cache
of fixed size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from llem_energy._model_info.flops import steps_positions

Confidence = Literal["medium", "low"]


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of a loaded model that the count needs, in bytes as they are stored."""

    step_bytes: int
    """Weights that every step reads: all matrices outside of experts, the output layer, norms. A
    table of embeddings is looked up, so it counts only if it is the output layer as well."""
    cache_bytes: int
    """Keys and values of one token in one layer."""
    windows: tuple[int | None, ...]
    """For each layer, the max number of positions a token attends to; None: all before it."""
    activation_bytes: int
    """Of one token: inputs and outputs of all matrices of the layers, of experts those chosen."""
    expert_bytes: int = 0
    """All experts of all layers together."""
    n_experts: int = 0
    """Of one layer; 0 if the model has none."""
    n_experts_per_token: int = 0


class Row(NamedTuple):
    """One prompt of a batch as it is computed."""

    n_input: int
    """Positions of the prompt, padding included."""
    n_output: int
    """Tokens of the output, those after its end included."""
    n_cached: int = 0
    """Positions that came from a cache."""


def prefill_bytes(traffic: Traffic, rows: Sequence[Row]) -> float:
    """Return the bytes of reading the prompts of one batch. Activations make it a rough figure.

    Args:
        traffic: sizes of the model.
        rows: the prompts that are read together.
    """
    n_read = sum(max(row.n_input - row.n_cached, 1) for row in rows)
    n_cached = sum(min(row.n_cached, row.n_input - 1) for row in rows)
    per_position = traffic.cache_bytes * len(traffic.windows)
    return (
        traffic.step_bytes
        + _chosen_experts(traffic, n_read)
        + n_read * (traffic.activation_bytes + per_position)  # every layer writes keys and values
        + n_cached * per_position
    )


def decode_bytes(traffic: Traffic, rows: Sequence[Row]) -> float:
    """Return the bytes of all steps after the first token of one batch.

    A row whose output is complete takes no part in further steps.

    Args:
        traffic: sizes of the model.
        rows: the prompts that are answered together.
    """
    n_done, weights, cached = 0, 0.0, 0.0
    steps = sorted(max(row.n_output - 1, 0) for row in rows)
    for index, n_steps in enumerate(steps):
        n_rows = len(steps) - index
        weights += (n_steps - n_done) * (traffic.step_bytes + _chosen_experts(traffic, n_rows))
        n_done = n_steps
    for row in rows:
        for window, n_layers in Counter(traffic.windows).items():
            n_positions = steps_positions(row.n_input, max(row.n_output - 1, 0), window)
            cached += n_layers * n_positions * traffic.cache_bytes
    return weights + cached


def confidence_of(traffic: Traffic, phase: str) -> Confidence:
    """Return how well the bytes of a phase are known: not well with activations or experts."""
    return "low" if phase == "prefill" or traffic.n_experts else "medium"


def _chosen_experts(traffic: Traffic, n_tokens: int) -> float:
    """Return the bytes of the experts that some token chooses, if it chooses evenly at random."""
    if not traffic.n_experts:
        return 0.0
    missed = (1 - traffic.n_experts_per_token / traffic.n_experts) ** n_tokens
    return traffic.expert_bytes * (1 - missed)
