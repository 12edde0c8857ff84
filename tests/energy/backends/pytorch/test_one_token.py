"""What a model does with one token: nothing stays on the model, and no weight is left out silently."""

from __future__ import annotations

from typing import Any

import torch
from energy.parts import experiment, loaded

from llem_energy._backends.pytorch.one_token import one_token


class Bare(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """A model without parameters, which has no device."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(4))


class Closed(torch.nn.Linear):  # type: ignore[misc]
    """A module that takes no hooks."""

    def register_forward_pre_hook(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no hooks")


def n_hooks(model: Any) -> int:
    return sum(len(module._forward_pre_hooks) for module in model.modules())


def test_no_hook_stays_on_a_model_without_parameters() -> None:
    model = Bare()
    assert one_token(model) is None
    assert n_hooks(model) == 0


def test_no_hook_stays_on_a_model_with_a_module_that_takes_none() -> None:
    model = loaded(experiment())._model
    model.extra = Closed(4, 4)
    assert one_token(model) is None
    assert n_hooks(model) == 0
