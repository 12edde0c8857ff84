"""What really happens in a model: the tensors that reach it, and answers made by hand beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from energy.parts import loaded
from torch.overrides import TorchFunctionMode

from llem_config import DecoderConfig, ExperimentConfig
from llem_energy._backends.pytorch.loading import generating_model
from llem_energy._prompts.load import load_prompts


class Call(NamedTuple):
    """One call of a model."""

    n_rows: int
    n_fed: int
    """Tokens of each row."""
    cache: str
    """The class that keeps keys and values."""


class Watched(NamedTuple):
    """One pass over the data set."""

    backend: Any
    calls: list[Call]
    drafts: list[Call]
    """Calls of the assistant."""
    answers: list[list[int]]
    """Of each prompt, padding after the end included."""
    functions: set[Any]
    """Those of torch that were called."""

    @property
    def first_calls(self) -> list[Call]:
        """Return the calls that read a prompt: without its tokens in the cache, there are more."""
        n_batches = len(self.calls) // self.n_steps
        return [self.calls[i * self.n_steps] for i in range(n_batches)]

    @property
    def n_steps(self) -> int:
        """Return the calls for each batch, where every batch has as many."""
        return max(len(answer) for answer in self.answers)


class _Functions(TorchFunctionMode):  # type: ignore[misc]  # torch is not followed for types
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[Any] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(func)
        return func(*args, **(kwargs or {}))


def watched(config: ExperimentConfig, prompts: Any = None) -> Watched:
    """Load the experiment's model and answer its prompts, or others, as the window would."""
    backend = loaded(config)
    given = prompts or load_prompts(config, backend.vocabulary())
    batches = backend.prepare(given).batches
    calls, drafts, answers = _calls(backend._model), _calls(backend._assistant), []
    backend.seed()
    compiled = backend.effective_config()["compiled"]
    functions = _Functions()
    for batch in batches:
        if compiled:  # a mode would be compiled too
            answers += backend.generate(batch)._ids.tolist()
            continue
        with functions:
            answers += backend.generate(batch)._ids.tolist()
    backend.close()
    return Watched(backend, calls, drafts, answers, functions.seen)


def _calls(model: Any) -> list[Call]:
    calls: list[Call] = []

    def before(*watched: Any) -> None:
        kwargs = watched[-1]
        cache = type(kwargs.get("past_key_values")).__name__
        n_rows, n_fed = kwargs["input_ids"].shape
        calls.append(Call(n_rows, n_fed, cache))

    if model is not None:
        generating_model(model).register_forward_pre_hook(before, with_kwargs=True)
    return calls


def by_hand(
    model: Any, prompts: list[list[int]], decoder: DecoderConfig, *, n_new: int, end: int, seed: int
) -> list[list[int]]:
    """Return what a model answers to each prompt, chosen token by token as the options say.

    A second implementation of the options: nothing of transformers' own choosing is used.
    """
    torch.manual_seed(seed)
    return [_answer(model, ids, decoder, n_new, end) for ids in prompts]


def _answer(
    model: Any, prompt: list[int], decoder: DecoderConfig, n_new: int, end: int
) -> list[int]:
    ids = list(prompt)
    with torch.inference_mode():
        while len(ids) - len(prompt) < n_new:
            scores = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float()
            n_done = len(ids) - len(prompt)
            scores = _penalised(scores, ids, decoder, end, n_done)
            if decoder.do_sample:
                chosen = torch.multinomial(_kept(scores, decoder)[None], 1)
            else:
                chosen = scores.argmax()
            ids.append(int(chosen))
            if ids[-1] == end and not decoder.ignore_eos:
                break
    return ids[len(prompt) :]


def _penalised(scores: Any, ids: list[int], decoder: DecoderConfig, end: int, n_done: int) -> Any:
    scores = scores.clone()
    penalty = decoder.repetition_penalty or 1.0
    for token in set(ids):
        scores[token] = scores[token] * penalty if scores[token] < 0 else scores[token] / penalty
    if not decoder.ignore_eos and n_done < (decoder.min_new_tokens or 0):
        scores[end] = -torch.inf
    return scores


def _kept(scores: Any, decoder: DecoderConfig) -> Any:
    """Return the probabilities of the tokens that may be drawn."""
    scores = scores / decoder.temperature
    if decoder.top_k:
        scores[scores < scores.topk(decoder.top_k).values[-1]] = -torch.inf
    if decoder.top_p:
        ordered, places = scores.softmax(-1).sort(descending=True)
        # The most likely tokens whose sum first reaches top_p; the one that reaches it stays.
        surplus = ordered.cumsum(-1) - ordered >= decoder.top_p
        scores[places[surplus]] = -torch.inf
    if decoder.min_p:
        likely = scores.softmax(-1)
        scores[likely < decoder.min_p * likely.max()] = -torch.inf
    return scores.softmax(-1)
