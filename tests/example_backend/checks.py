"""The checks that the author of a backend runs, on a few small experiments."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import llem_parrot._backend as parrot
import pytest

from llem_config import ExperimentConfig
from llem_energy.backends import Memory, Workload
from llem_energy.testing import BACKEND_CHECKS, BackendCheckFailed

SMALL: dict[str, Any] = {
    "backend": "parrot",
    "model": "builtin:tiny-llama",
    "precision": "fp32",
    "n": 5,
    "max_input_tokens": 8,
    "max_output_tokens": 4,
    "warmup": {"n_warmup": 1, "convergence_detection": False},
    "baseline": {"enabled": False},
    "energy": {"min_window_seconds": 0.0},
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"parrot": {"batch_size": 2, "memory": 3, "mood": "playful"}},
    {"decoder": {"temperature": 0.7}, "parrot": {"batch_size": 3}},
    {"decoder": {"ignore_eos": False}},
    {"parrot": {"batch_size": 2, "prefix_cache": "clearable"}},
    {"parrot": {"prefix_cache": "permanent"}},
]


def config(**changes: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate(SMALL | changes)


@pytest.mark.parametrize("check", BACKEND_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_the_backend_passes_every_check(changes: dict[str, Any], check: Any) -> None:
    check(config(**changes))


def _padding_counted(self: Any) -> tuple[int, ...]:
    return tuple(max(len(row) for row in self.rows) + 1 for row in self.rows)


def _one_prompt_lost(self: Any, prompts: Any) -> Any:
    return ORIGINAL["prepare"](self, prompts[1:])


def _foreign_error(self: Any) -> None:
    if not self._config.model.startswith("builtin:"):
        raise KeyError(self._config.model)


def _everything_cached(self: Any) -> tuple[int, ...]:
    return tuple(len(row) for row in self.rows)


def _more_than_the_prompt(self: Any) -> tuple[int, ...]:
    return (1000,) * len(self.rows)


def _batches_by_content(self: Any, prompts: Any) -> Any:
    workload = ORIGINAL["prepare"](self, prompts)
    self.prepared = getattr(self, "prepared", workload)
    return workload if workload is self.prepared else Workload(workload.batches[1:], 0)


def _not_emptied(self: Any) -> bool:
    return self._prefix_cache is not None


_MORE = itertools.count()


ORIGINAL: dict[str, Callable[..., Any]] = {
    "prepare": parrot.ParrotBackend.prepare,
}
BROKEN: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "output_tokens_are_exact": (parrot.ParrotGeneration, "n_tokens", _padding_counted),
    "every_prompt_is_in_one_batch": (parrot.ParrotBackend, "prepare", _one_prompt_lost),
    "a_model_that_does_not_exist": (parrot.ParrotBackend, "load", _foreign_error),
    "token_times_increase": (
        parrot.ParrotGeneration, "token_times_s", lambda self: (3600.0,) * len(self.rows[0]),
    ),
    "opening_returns": (parrot.ParrotBackend, "open", lambda *_: ("0",)),
    "memory_states": (
        parrot.ParrotBackend, "memory", lambda *_: Memory(1, 2, "made up"),
    ),
    "effective_config_is": (parrot.ParrotBackend, "effective_config", lambda *_: {1: {2}}),
    "repeated_shapes": (
        parrot.ParrotBackend, "compilations", lambda *_: next(_MORE),
    ),
    "cached_tokens_are": (
        parrot.ParrotGeneration, "cached_input_tokens", _more_than_the_prompt,
    ),
    "extra_tokens": (parrot.ParrotGeneration, "padding_tokens", _more_than_the_prompt),
    "new_prompts_are_read": (
        parrot.ParrotGeneration, "cached_input_tokens", _everything_cached,
    ),
    "prompts_of_the_same_lengths": (parrot.ParrotBackend, "prepare", _batches_by_content),
    "an_emptied_cache": (parrot.ParrotBackend, "clear_prefix_cache", _not_emptied),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_rule_is_detected(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*BROKEN[name])
    (check,) = [check for check in BACKEND_CHECKS if check.__name__.startswith(name)]
    with pytest.raises((BackendCheckFailed, KeyError)):
        check(config(parrot={"prefix_cache": "clearable"}))
