"""Synthetic prompts: random token ids of fixed or random lengths, which need no tokenizer."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

from llem_config import ExperimentConfig, InputTokensConfig

SYNTHETIC = "synthetic"
MAX_TOKENS = 10**9
"""Of all synthetic prompts of an experiment: about 40 GB in the memory of the host."""
_MAX_DRAWS = 100_000


def synthetic_prompts(config: ExperimentConfig, vocabulary: range) -> tuple[tuple[int, ...], ...]:
    """Return `n` prompts of token ids from the vocabulary; the same for the same seed."""
    generator = random.Random(config.random_seed)
    lengths = list(_lengths(config, generator))
    return tuple(tuple(generator.choices(vocabulary, k=length)) for length in lengths)


def other_prompts(
    lengths: Sequence[int], vocabulary: range, seed: int, purpose: str
) -> tuple[tuple[int, ...], ...]:
    """Return prompts of these lengths that are drawn apart from the measured ones.

    Args:
        lengths: tokens of each prompt.
        vocabulary: token ids from which they are drawn.
        seed: of the experiment.
        purpose: another purpose gives other prompts.
    """
    generator = random.Random(f"{seed} {purpose}")
    return tuple(tuple(generator.choices(vocabulary, k=length)) for length in lengths)


def synthetic_problem(config: ExperimentConfig) -> str | None:
    """Return why the synthetic prompts of an experiment cannot be made; draws none of them."""
    mean_length = _mean_length(config)
    if config.n * mean_length <= MAX_TOKENS:
        return None
    return (
        f"expected up to {MAX_TOKENS:,} synthetic tokens, which llem holds in memory, found "
        f"n = {config.n} prompts of {mean_length} tokens; lower `n` or the lengths of the prompts"
    )


def longest_synthetic(config: ExperimentConfig) -> int:
    """Return the tokens of the longest synthetic prompt; of very many prompts, an upper bound."""
    options = config.dataset.input_tokens
    if options is None or config.n > _MAX_DRAWS:
        return _max_length(config, options)
    return max(_lengths(config, random.Random(config.random_seed)))


def _max_length(config: ExperimentConfig, options: InputTokensConfig | None) -> int:
    return (options and options.max) or config.max_input_tokens


def _mean_length(config: ExperimentConfig) -> int:
    """Return about the mean length; exact for prompts of a fixed length."""
    options = config.dataset.input_tokens
    longest = _max_length(config, options)
    if options is None:
        return longest
    if options.distribution == "uniform":
        return (options.min + longest) // 2
    return max(options.min, round(min(options.mean or 1.0, longest)))


def _lengths(config: ExperimentConfig, generator: random.Random) -> Iterator[int]:
    """Yield the length of each prompt; one draw of the generator for each random length."""
    options = config.dataset.input_tokens
    longest = _max_length(config, options)
    for _ in range(config.n):
        if options is None:
            yield longest
        elif options.distribution == "uniform":
            yield generator.randint(options.min, longest)
        else:
            length = min(_lognormal(options, generator), longest)
            yield min(max(round(length), options.min), longest)


def _lognormal(options: InputTokensConfig, generator: random.Random) -> float:
    assert options.mean is not None
    assert options.sd is not None
    try:
        # Mean and variance of the logarithm, from mean and standard deviation of the lengths.
        variance = math.log1p((options.sd / options.mean) ** 2)
        if math.isinf(variance):
            return math.inf  # the caller cuts it
        center = math.log(options.mean) - variance / 2
        return generator.lognormvariate(center, math.sqrt(variance))
    except OverflowError:
        return math.inf
