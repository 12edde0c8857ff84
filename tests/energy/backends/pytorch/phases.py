"""One batch of prompts, and a recorder of the calls that a model receives."""

from __future__ import annotations

from typing import Any

from energy.parts import experiment, loaded, merged

from llem_energy._backends.pytorch.loading import generating_model

PROMPTS = [tuple(range(20 * n + 10, 20 * n + 10 + length)) for n, length in enumerate((3, 9, 1, 6))]
N_OUT = 7


class CallRecorder:
    """Record the calls of a model: tokens fed, tokens chosen, length of the cache before."""

    def __init__(self, backend: Any) -> None:
        self._model = generating_model(backend._model)
        self.fed: list[list[list[int]]] = []
        self.chosen: list[list[int]] = []
        self.cached: list[int] = []
        self.longest: list[int] = []

    def __enter__(self) -> CallRecorder:
        self._hooks = [
            self._model.register_forward_pre_hook(self._before, with_kwargs=True),
            self._model.register_forward_hook(self._after),
        ]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _before(self, *arguments: Any) -> None:
        kwargs = arguments[-1]
        self.fed.append(kwargs["input_ids"].tolist())
        cache = kwargs.get("past_key_values")
        self.cached.append(0 if cache is None else int(cache.get_seq_length()))
        self.longest.append(-1 if cache is None else cache.get_max_length())

    def _after(self, *arguments: Any) -> None:
        self.chosen.append(arguments[-1].logits[:, -1].argmax(-1).tolist())

    def answers(self) -> list[list[int]]:
        """Return the answer to each prompt: the first token fed, then the tokens chosen."""
        first = [row[-1] for row in self.fed[0]]
        return [list(answer) for answer in zip(first, *self.chosen, strict=True)]


def phase_experiment(**changes: Any) -> Any:
    """Return an experiment with one batch of four, padded on the left."""
    base = {"max_input_tokens": 16, "max_output_tokens": N_OUT, "pytorch": {"batch_size": 4}}
    return experiment(**merged(base, changes))


def prepared(config: Any, prompts: Any = PROMPTS) -> tuple[Any, Any]:
    """Return a loaded backend and its first batch."""
    backend = loaded(config)
    return backend, backend.prepare(prompts).batches[0]
