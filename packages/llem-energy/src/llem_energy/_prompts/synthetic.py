"""Synthetic prompts: random token ids of fixed or random lengths, which need no tokenizer."""

from __future__ import annotations

import math
import random

from llem_config import ExperimentConfig, InputTokensConfig

SYNTHETIC = "synthetic"


def synthetic_prompts(config: ExperimentConfig, vocabulary: range) -> tuple[tuple[int, ...], ...]:
    """Return `n` prompts of token ids from the vocabulary; the same for the same seed."""
    generator = random.Random(config.random_seed)
    lengths = _lengths(config, generator)
    return tuple(tuple(generator.choices(vocabulary, k=length)) for length in lengths)


def longest_synthetic(config: ExperimentConfig) -> int:
    """Return the tokens of the longest synthetic prompt of an experiment."""
    if config.dataset.input_tokens is None:
        return config.max_input_tokens
    return max(_lengths(config, random.Random(config.random_seed)))


def _lengths(config: ExperimentConfig, generator: random.Random) -> list[int]:
    options = config.dataset.input_tokens
    if options is None:
        return [config.max_input_tokens] * config.n
    n_min, n_max = options.min, options.max or config.max_input_tokens
    if options.distribution == "uniform":
        return [generator.randint(n_min, n_max) for _ in range(config.n)]
    lengths = [round(_lognormal(options, generator)) for _ in range(config.n)]
    return [min(max(length, n_min), n_max) for length in lengths]


def _lognormal(options: InputTokensConfig, generator: random.Random) -> float:
    assert options.mean is not None
    assert options.sd is not None
    # Mean and variance of the logarithm, from mean and standard deviation of the lengths.
    variance = math.log1p((options.sd / options.mean) ** 2)
    return generator.lognormvariate(math.log(options.mean) - variance / 2, math.sqrt(variance))
