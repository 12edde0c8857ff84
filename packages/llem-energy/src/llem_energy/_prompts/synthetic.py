"""Synthetic prompts: seeded token ids of exact or drawn lengths, which need no tokenizer."""

from __future__ import annotations

import math
import random

from llem_config import ExperimentConfig, InputTokensConfig

SYNTHETIC = "synthetic"


def synthetic_prompts(config: ExperimentConfig, vocabulary: range) -> tuple[tuple[int, ...], ...]:
    """Return `n` prompts of token ids from the vocabulary; the same for the same seed."""
    draw = random.Random(config.random_seed)
    lengths = _lengths(config, draw)
    return tuple(tuple(draw.choices(vocabulary, k=length)) for length in lengths)


def longest_synthetic(config: ExperimentConfig) -> int:
    """Return the tokens of the longest synthetic prompt of an experiment."""
    if config.dataset.input_tokens is None:
        return config.max_input_tokens
    return max(_lengths(config, random.Random(config.random_seed)))


def _lengths(config: ExperimentConfig, draw: random.Random) -> list[int]:
    asked = config.dataset.input_tokens
    if asked is None:
        return [config.max_input_tokens] * config.n
    least, most = asked.min, asked.max or config.max_input_tokens
    if asked.distribution == "uniform":
        return [draw.randint(least, most) for _ in range(config.n)]
    return [min(max(round(_lognormal(asked, draw)), least), most) for _ in range(config.n)]


def _lognormal(asked: InputTokensConfig, draw: random.Random) -> float:
    assert asked.mean is not None
    assert asked.sd is not None
    # The parameters of the logarithm whose exponential has this mean and this deviation.
    variance = math.log1p((asked.sd / asked.mean) ** 2)
    return draw.lognormvariate(math.log(asked.mean) - variance / 2, math.sqrt(variance))
