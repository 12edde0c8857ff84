"""Prefill and decode of one batch, each run alone, as often as needed.

Both call transformers' own `generate`, so that a phase does the same work as in a normal
generation. Prefill generates one token and drops its cache. Decode is a normal generation whose
prefill is replaced: it receives the logits and the cache of one real prefill, made once. It then
chooses the first token again, with a few small kernels, and runs one step for each further token.
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
from llem_energy._backends.pytorch.library_errors import foreign_errors
from llem_energy._backends.pytorch.loading import generating_model
from llem_energy._errors import BackendError

# These never modify their tensors: an update creates new ones. A copy of the object is enough.
# Looked up by name, because transformers has some of them only in newer versions.
_IMMUTABLE = tuple(
    getattr(cache_utils, name)
    for name in ("DynamicLayer", "DynamicSlidingWindowLayer", "DummyLayer")
    if hasattr(cache_utils, name)
)
_RESTORABLE = "a cache of keys and values that can be restored exactly"


def prefill(model: Any, generation: Any, batch: Batch) -> Phase:
    """Return the phase that reads the prompts and chooses one token for each."""
    arguments = _first_token(generation, batch)

    def run() -> None:
        with foreign_errors("prefill failed"), torch.inference_mode():
            model.generate(**batch.inputs, generation_config=arguments)

    return Phase("prefill", run, sum(batch.lengths), batch.n_prompts)


def decode(model: Any, generation: Any, batch: Batch) -> Phase:
    """Return the phase that generates all tokens after the first.

    End tokens are ignored, so that every run generates the same number of tokens.

    Raises:
        BackendError: the model has no cache, or one that cannot be restored exactly.
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
        # As long as for all output tokens: attention covers the whole cache, filled or not.
        arguments.max_cache_len = batch.shape[1] + generation.max_new_tokens - 1
    return arguments


def _read(model: Any, generation: Any, batch: Batch) -> Any:
    """Run a real prefill and return the output of the model: logits and cache."""
    outputs: list[Any] = []
    read = getattr(generating_model(model), "_prefill", None)

    def keep(*args: Any, **kwargs: Any) -> Any:
        outputs.append(read(*args, **kwargs))  # type: ignore[misc]  # only called if it exists
        return outputs[-1]

    with foreign_errors("prefill failed"), torch.inference_mode(), _reading(model, keep):
        model.generate(**batch.inputs, generation_config=_first_token(generation, batch))
    if len(outputs) != 1:
        raise BackendError(
            "the phase decode needs a model that reads its prompt in a separate step; "
            f"{type(generating_model(model)).__name__} of transformers {transformers.__version__} "
            "does not do so"
        )
    return outputs[0]


def _start(outputs: Any, n_steps: int) -> Callable[..., Any]:
    """Return a replacement for prefill, which returns the same logits and cache each time."""
    cache = getattr(outputs, "past_key_values", None)
    if cache is None or getattr(cache, "offloading", False):
        raise BackendError(f"the phase decode needs {_RESTORABLE}, found {type(cache).__name__}")
    # Copied once, because the next run of a compiled model may overwrite its outputs.
    logits = outputs.logits[:, -1:].clone()
    layers = [_rewound(layer, n_steps) for layer in cache.layers]

    def start(*args: Any, **kwargs: Any) -> Any:
        del args, kwargs
        again = copy.copy(cache)
        again.layers = [layer() for layer in layers]
        return CausalLMOutputWithPast(logits=logits, past_key_values=again)

    return start


def _rewound(layer: Any, n_steps: int) -> Callable[[], Any]:
    """Return a function that restores one layer of the cache to its state after the prompt.

    No run copies keys or values.
    """
    if type(layer) in _IMMUTABLE:
        if layer.keys is not None:
            layer.keys, layer.values = layer.keys.clone(), layer.values.clone()
        return lambda: copy.copy(layer)
    if type(layer) not in (cache_utils.StaticLayer, cache_utils.StaticSlidingWindowLayer):
        raise BackendError(f"the phase decode needs {_RESTORABLE}, found {type(layer).__name__}")
    n_prompt = int(layer.get_seq_length())
    if n_prompt + n_steps > layer.max_cache_len:
        raise BackendError(
            "the phase decode with a static cache needs prompt and output within the model's "
            f"sliding attention window of {layer.max_cache_len} tokens, found "
            f"{n_prompt + n_steps}: tokens that left this window cannot be restored"
        )

    def rewind() -> Any:
        # Attention masks everything beyond the length, so it has no effect.
        layer.cumulative_length.fill_(n_prompt)
        layer.cumulative_length_int = n_prompt  # a second counter in layers with a window
        return layer

    return rewind


@contextmanager
def _reading(model: Any, replacement: Callable[..., Any]) -> Iterator[None]:
    """Replace the prefill of `generate`."""
    generating = generating_model(model)
    generating._prefill = replacement  # hides the method of the class
    try:
        yield
    finally:
        del generating._prefill
