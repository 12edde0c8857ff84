"""Record the calls of a model, and compute its answers by a second implementation."""

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
    """The class that holds keys and values."""


class Watched(NamedTuple):
    """One pass over the data set, as recorded."""

    backend: Any
    calls: list[Call]
    drafts: list[Call]
    """Calls of the draft model."""
    answers: list[list[int]]
    """The answer to each prompt, including padding after the end token."""
    functions: set[Any]
    """The functions of torch that were called."""

    @property
    def first_calls(self) -> list[Call]:
        """Return the first call of each batch, which reads the prompts."""
        n_batches = len(self.calls) // self.n_steps
        return [self.calls[i * self.n_steps] for i in range(n_batches)]

    @property
    def n_steps(self) -> int:
        """Return the number of calls per batch, if it is the same for all batches."""
        return max(len(answer) for answer in self.answers)


class _Functions(TorchFunctionMode):  # type: ignore[misc]  # torch is not followed for types
    def __init__(self) -> None:
        super().__init__()
        self.called: set[Any] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.called.add(func)
        return func(*args, **(kwargs or {}))


def watched(config: ExperimentConfig, prompts: Any = None) -> Watched:
    """Load the model of an experiment and answer its prompts, or these, as in the window."""
    backend = loaded(config)
    prompts = prompts or load_prompts(config, backend.vocabulary())
    batches = backend.prepare(prompts).batches
    calls, drafts, answers = _calls(backend._model), _calls(backend._assistant), []
    backend.seed()
    compiled = backend.effective_config()["compiled"]
    functions = _Functions()
    for batch in batches:
        if compiled:  # the recorder would be compiled too
            answers += backend.generate(batch)._ids.tolist()
            continue
        with functions:
            answers += backend.generate(batch)._ids.tolist()
    backend.close()
    return Watched(backend, calls, drafts, answers, functions.called)


def _calls(model: Any) -> list[Call]:
    calls: list[Call] = []

    def before(*arguments: Any) -> None:
        kwargs = arguments[-1]
        cache = type(kwargs.get("past_key_values")).__name__
        n_rows, n_fed = kwargs["input_ids"].shape
        calls.append(Call(n_rows, n_fed, cache))

    if model is not None:
        generating_model(model).register_forward_pre_hook(before, with_kwargs=True)
    return calls


def reference_answers(
    model: Any, prompts: list[list[int]], decoder: DecoderConfig, *, n_new: int, end: int, seed: int
) -> list[list[int]]:
    """Return the answer of a model to each prompt, with these options of the decoder.

    A second implementation of the options: it uses none of transformers' generation code.
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
        # Keep the most likely tokens until their sum reaches top_p, including the last of them.
        surplus = ordered.cumsum(-1) - ordered >= decoder.top_p
        scores[places[surplus]] = -torch.inf
    if decoder.min_p:
        likely = scores.softmax(-1)
        scores[likely < decoder.min_p * likely.max()] = -torch.inf
    return scores.softmax(-1)
