"""What a model does with one token: nothing stays on the model, and no weight is left out silently."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from energy.parts import experiment, loaded

from llem_energy._backends.pytorch.flops import decoder_of
from llem_energy._backends.pytorch.one_token import one_token
from llem_energy._backends.pytorch.traffic import traffic_of


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


def feed_forward(mlp: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Compute the gate from its weights, without calling its module."""
    gate = torch.nn.functional.linear(hidden, mlp.gate_proj.weight)
    return mlp.down_proj(mlp.act_fn(gate) * mlp.up_proj(hidden))


def test_weights_that_are_used_without_their_module_give_no_count() -> None:
    model = loaded(experiment())._model
    for layer in model.model.layers:
        layer.mlp.forward = partial(feed_forward, layer.mlp)
    assert decoder_of(model) is None
    assert traffic_of(model) is None


def test_experts_and_layers_that_a_token_does_not_meet_are_no_hidden_weights() -> None:
    model = loaded(experiment())._model
    expected = decoder_of(model)
    other = loaded(experiment())._model
    other.model.layers[0].mlp.experts = torch.nn.ModuleList([torch.nn.Linear(8, 8)])
    other.encoder = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(8, 8))])
    assert expected is not None
    assert decoder_of(other) == expected


def test_experts_in_one_tensor_that_no_token_met_give_no_bytes() -> None:
    model = loaded(experiment(model="builtin:tiny-moe"))._model
    for layer in model.model.layers:
        layer.mlp.forward = lambda hidden: hidden
    assert traffic_of(model) is None
