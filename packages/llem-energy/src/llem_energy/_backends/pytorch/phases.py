"""Prefill and decode of one batch, each run alone and as often as it takes.

Both run through transformers' own `generate`, so that a phase does what it does inside of an
answer. Prefill is an answer of one token, its cache dropped. Decode is a whole answer that finds
its prompt already read: where `generate` would read it, it is handed the scores and the cache of
one real reading, made once. It then chooses the first token again, a few small kernels, and runs
one step for each further token.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from transformers import cache_utils
from transformers.modeling_outputs import CausalLMOutputWithPast

from llem_energy._backends.protocol import Batch, Phase
from llem_energy._backends.pytorch.loading import foreign_errors, generating_model
from llem_energy._errors import BackendError

# These never write into their tensors: an update makes new ones. A copy of the object is enough.
_UNCHANGING = (
    cache_utils.DynamicLayer,
    cache_utils.DynamicSlidingWindowLayer,
    cache_utils.DummyLayer,
)
_PLAIN = "a cache of keys and values that can be put back as it was"


def prefill(model: Any, generation: Any, batch: Batch) -> Phase:
    """Return the phase that reads the prompts and chooses one token for each."""
    arguments = _first_token(generation, batch)

    def run() -> None:
        with foreign_errors("prefill failed"), torch.inference_mode():
            model.generate(**batch.inputs, generation_config=arguments)

    return Phase("prefill", run, sum(batch.lengths), batch.n_prompts)


def decode(model: Any, generation: Any, batch: Batch) -> Phase:
    """Return the phase that generates everything after the first token of each answer.

    The end of an answer is ignored, so that every run generates the same number of tokens.

    Raises:
        BackendError: the model keeps a cache that cannot be put back exactly, or none.
    """
    n_steps = generation.max_new_tokens - 1
    start = _start(_read(model, generation, batch), n_steps)
    arguments = copy.deepcopy(generation)
    arguments.eos_token_id = arguments.min_new_tokens = None

    def run() -> None:
        with foreign_errors("decode failed"), torch.inference_mode(), _reading(model, start):
            model.generate(**batch.inputs, generation_config=arguments)

    return Phase("decode", run, batch.n_prompts * n_steps, batch.n_prompts)


def _first_token(generation: Any, batch: Batch) -> Any:
    arguments = copy.deepcopy(generation)
    arguments.max_new_tokens = 1
    if arguments.min_new_tokens is not None:
        arguments.min_new_tokens = 1
    if arguments.cache_implementation in ("static", "offloaded_static"):
        # As long as for the whole answer: attention runs over all of it, filled or not.
        arguments.max_cache_len = batch.shape[1] + generation.max_new_tokens - 1
    return arguments


def _read(model: Any, generation: Any, batch: Batch) -> Any:
    """Read the prompts once, for real, and return what the model gave: scores and cache."""
    taken: list[Any] = []
    read = getattr(generating_model(model), "_prefill", None)

    def keep(*args: Any, **kwargs: Any) -> Any:
        taken.append(read(*args, **kwargs))  # type: ignore[misc]  # only called if it is there
        return taken[-1]

    with foreign_errors("prefill failed"), torch.inference_mode(), _reading(model, keep):
        model.generate(**batch.inputs, generation_config=_first_token(generation, batch))
    if len(taken) != 1:
        raise BackendError(
            f"the phase decode needs a model that reads its prompt in a step of its own, which "
            f"{type(generating_model(model)).__name__} of transformers {transformers.__version__} "
            "does not"
        )
    return taken[0]


def _start(outputs: Any, n_steps: int) -> Callable[..., Any]:
    """Return what stands in for the reading of the prompt: its result, each time as it was."""
    cache = getattr(outputs, "past_key_values", None)
    if cache is None or getattr(cache, "offloading", False):
        raise BackendError(f"the phase decode needs {_PLAIN}, found {type(cache).__name__}")
    # Copied once: what a compiled model hands out, its next run may overwrite.
    logits = outputs.logits[:, -1:].clone()
    layers = [_rewound(layer, n_steps) for layer in cache.layers]

    def start(*args: Any, **kwargs: Any) -> Any:
        del args, kwargs
        again = copy.copy(cache)
        again.layers = [layer() for layer in layers]
        return CausalLMOutputWithPast(logits=logits, past_key_values=again)

    return start


def _rewound(layer: Any, n_steps: int) -> Callable[[], Any]:
    """Return what gives one layer of the cache with the prompt in it and nothing else.

    No run copies keys or values.
    """
    if type(layer) in _UNCHANGING:
        if layer.keys is not None:
            layer.keys, layer.values = layer.keys.clone(), layer.values.clone()
        return lambda: copy.copy(layer)
    if type(layer) not in (cache_utils.StaticLayer, cache_utils.StaticSlidingWindowLayer):
        raise BackendError(f"the phase decode needs {_PLAIN}, found {type(layer).__name__}")
    n_prompt = int(layer.get_seq_length())
    if n_prompt + n_steps > layer.max_cache_len:
        raise BackendError(
            "the phase decode with a static cache needs prompt and answer within the model's "
            f"window of {layer.max_cache_len} tokens, found {n_prompt + n_steps}: what has left "
            "the window cannot be put back"
        )

    def rewind() -> Any:
        # What lies beyond the length is masked, so that it weighs exactly nothing.
        layer.cumulative_length.fill_(n_prompt)
        layer.cumulative_length_int = n_prompt  # what a layer with a window counts beside it
        return layer

    return rewind


@contextmanager
def _reading(model: Any, replacement: Callable[..., Any]) -> Iterator[None]:
    """Have `generate` call something else where it would read the prompt."""
    generating = generating_model(model)
    generating._prefill = replacement  # hides the method of the class
    try:
        yield
    finally:
        del generating._prefill
