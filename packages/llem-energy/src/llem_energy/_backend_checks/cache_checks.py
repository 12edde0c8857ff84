"""Checks of a cache of earlier prompts, which a backend may have or not."""

from __future__ import annotations

from collections.abc import Sequence

from llem_config import ExperimentConfig
from llem_energy._backend_checks.support import BackendCheckFailed, expect, generate_all, ready
from llem_energy._backends.extra_tokens import padding_tokens, tokens_after_end
from llem_energy._backends.prefix_cache import cached_input_tokens, clear_prefix_cache
from llem_energy._backends.protocol import Backend
from llem_energy._errors import BackendError
from llem_energy._measurement.fresh_prompts import FreshPrompts


def prompts_of_the_same_lengths_give_the_same_shapes(config: ExperimentConfig) -> None:
    """The warm-up and further passes have other prompts, but compile and pad the same shapes."""
    with ready(config) as (backend, _, workload):
        try:
            FreshPrompts(config, backend, workload).warm_up()
        except BackendError as error:
            raise BackendCheckFailed(str(error)) from error


def cached_tokens_are_at_the_start_of_a_prompt(config: ExperimentConfig) -> None:
    """One number for each prompt, from 0 to its length; None if it is unknown."""
    with ready(config) as (backend, _, workload):
        for batch, generation in [
            pair for _ in range(2) for pair in generate_all(backend, workload)
        ]:
            counts = cached_input_tokens(generation)
            if counts is None:
                continue
            expect(
                len(counts) == batch.n_prompts,
                f"expected {batch.n_prompts} numbers of cached tokens, found {len(counts)}",
            )
            within = all(0 <= n <= length for n, length in zip(counts, batch.lengths, strict=True))
            expect(within, f"expected cached tokens up to {batch.lengths}, found {counts}")


def extra_tokens_have_one_number_for_each_prompt(config: ExperimentConfig) -> None:
    """Padding up to the shape of the batch, and steps after an end up to those that are left."""
    with ready(config) as (backend, _, workload):
        for batch, generation in generate_all(backend, workload):
            room = [batch.shape[1] - length for length in batch.lengths]
            _expect_up_to(room, padding_tokens(generation), "padding tokens")
            rest = [config.max_output_tokens - n for n in generation.n_tokens()]
            _expect_up_to(rest, tokens_after_end(generation), "tokens after the end")


def _expect_up_to(limits: Sequence[int], counts: Sequence[int] | None, what: str) -> None:
    if counts is None:
        return
    within = len(counts) == len(limits) and all(
        0 <= n <= most for n, most in zip(counts, limits, strict=True)
    )
    expect(within, f"expected {what} up to {tuple(limits)}, found {counts}")


def new_prompts_are_read(config: ExperimentConfig) -> None:
    """A prompt whose first token is new has no cached tokens."""
    with ready(config) as (backend, _, _):
        for token in backend.vocabulary()[:2]:
            _expect_read(backend, (token,) * config.max_input_tokens)


def an_emptied_cache_answers_nothing(config: ExperimentConfig) -> None:
    """After `clear_prefix_cache` returned True, a repeated prompt has no cached tokens."""
    with ready(config) as (backend, _, _):
        prompt = tuple(backend.vocabulary()[:1]) * config.max_input_tokens
        for _ in range(2):
            _expect_read(backend, prompt)
            if not clear_prefix_cache(backend):
                return


def _expect_read(backend: Backend, prompt: Sequence[int]) -> None:
    workload = backend.prepare([tuple(prompt)])
    for _, generation in generate_all(backend, workload):
        counts = cached_input_tokens(generation)
        expect(not counts or not any(counts), f"expected no cached tokens, found {counts}")
