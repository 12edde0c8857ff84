"""What a loaded model does with one token: which of its modules it calls, and what it keeps in its cache.

A model can hold more than a token meets, such as the encoder of images, and can call a layer twice. Its
config.json does not always say how wide its keys and values are. So one token is read, once.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from transformers.pytorch_utils import Conv1D

_MATRICES = (torch.nn.Linear, Conv1D)
_seen: weakref.WeakKeyDictionary[Any, OneToken | None] = weakref.WeakKeyDictionary()


class CachedLayer(NamedTuple):
    """What one layer keeps of one token."""

    key_width: int
    """Of one head."""
    value_width: int
    """Of one head."""
    n_bytes: int
    """Of keys and values, all heads together."""


class OneToken(NamedTuple):
    """What a model does with one token."""

    n_rows: Counter[int]
    """How often a token goes through each module that has weights of its own, by the module's `id`."""
    layers: tuple[CachedLayer, ...]
    """The layers that keep keys and values."""

    def n_times(self, module: Any) -> int:
        """Return how often a token goes through a module; 0: never."""
        return self.n_rows[id(module)]


def one_token(model: Any) -> OneToken | None:
    """Return what a model does with one token; None if it cannot read one, keeps no cache, or has hidden weights.

    Hidden are the weights of a matrix in one of its layers that is not called as a module.

    The model reads it the first time only.
    """
    if model not in _seen:
        try:
            _seen[model] = _read(model)
        except Exception:  # noqa: BLE001  # of any model's code; the count is then unknown
            _seen[model] = None
    return _seen[model]


def _read(model: Any) -> OneToken | None:
    n_rows: Counter[int] = Counter()
    devices = [weight.device for weight in model.parameters()]
    # Weights that are kept elsewhere until they are needed are on the device `meta`.
    device = next((each for each in devices if each.type != "meta"), devices[0])
    ids = torch.ones((1, 1), dtype=torch.long, device=device)
    hooks: list[Any] = []
    try:  # from the first hook on: one that stays would count in the measured work
        for module in model.modules():
            own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
            if own:
                hooks.append(module.register_forward_pre_hook(_counting(n_rows)))
        with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
            output = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True)
    finally:
        for hook in hooks:
            hook.remove()
    layers = getattr(output.past_key_values, "layers", None)
    if not layers or _uses_unseen_weights(model, n_rows):
        return None
    kept = (layer for layer in layers if getattr(layer, "keys", None) is not None)
    return OneToken(n_rows, tuple(_layer(layer.keys, layer.values) for layer in kept))


def _counting(n_rows: Counter[int]) -> Callable[[Any, tuple[Any, ...]], None]:
    def count(module: Any, arguments: tuple[Any, ...]) -> None:
        n = 1
        if (
            arguments
            and isinstance(arguments[0], torch.Tensor)
            and arguments[0].is_floating_point()
        ):
            n = arguments[0].shape[:-1].numel()
        n_rows[id(module)] += n

    return count


def _uses_unseen_weights(model: Any, n_rows: Counter[int]) -> bool:
    """Return whether a layer that the token went through has matrices whose modules it did not call.

    The layer may use their weights all the same, and how often cannot be told. Experts are layers of a
    list of their own, and a token goes through some of them only.
    """
    lists = (module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    return any(
        any(n_rows[id(module)] for module in layer.modules())
        and any(isinstance(m, _MATRICES) and not n_rows[id(m)] for m in _outside_lists(layer))
        for layers in lists
        for layer in layers
    )


def _outside_lists(module: Any) -> Iterator[Any]:
    """Yield a module and what is below it, without the layers of further lists."""
    yield module
    for child in module.children():
        if not isinstance(child, torch.nn.ModuleList):
            yield from _outside_lists(child)


def _layer(keys: Any, values: Any) -> CachedLayer:
    n_positions = keys.shape[-2]
    n_bytes = sum(each.numel() * each.element_size() for each in (keys, values)) // n_positions
    return CachedLayer(keys.shape[-1], values.shape[-1], n_bytes)
