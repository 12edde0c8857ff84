"""What can be read from a loaded model itself: attention, weights, places, packing, adapters."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from transformers.utils import hub


def attention_layers(model: Any) -> list[dict[str, Any]]:
    """Return each kind of attention in the model: its class, the function it calls, its layers."""
    kinds = Counter(
        (type(layer).__name__, layer.config._attn_implementation, _function(layer))
        for layer in _attentions(model)
    )
    return [
        {"class": name, "implementation": implementation, "function": function, "n_layers": n}
        for (name, implementation, function), n in sorted(kinds.items())
    ]


def attention(model: Any) -> str:
    """Return the implementation that every layer uses, or all that are used."""
    used = {layer.config._attn_implementation for layer in _attentions(model)}
    # A model with code of its own may have attention of a kind that is not known here.
    return ", ".join(sorted(used or {str(model.config._attn_implementation)}))


def _attentions(model: Any) -> list[Any]:
    return [
        module
        for module in model.modules()
        if type(module).__name__.endswith("Attention")
        and hasattr(getattr(module, "config", None), "_attn_implementation")
    ]


def _function(layer: Any) -> str:
    """Return the function that a layer calls, found in the way in which the layer finds it."""
    source = vars(sys.modules[type(layer).__module__])
    interface, eager = source.get("ALL_ATTENTION_FUNCTIONS"), source.get("eager_attention_forward")
    if interface is None or eager is None:
        return f"{type(layer).__name__}.forward"
    name: str = interface.get_interface(layer.config._attn_implementation, eager).__name__
    return name


def weight_types(model: Any) -> Counter[str]:
    """Return how many weights there are of each type, packed ones as they are stored."""
    counts: Counter[str] = Counter()
    for one in model.parameters():
        counts[str(one.dtype).removeprefix("torch.")] += one.numel()
    return counts


def main_type(model: Any) -> str:
    """Return the type of most weights: some architectures keep a few layers in fp32."""
    return weight_types(model).most_common(1)[0][0]


def kinds_of_device(model: Any) -> set[str]:
    """Return where the weights are: `cpu`, `cuda`."""
    return {one.device.type for one in model.parameters()}


def device_map(model: Any) -> dict[str, str] | None:
    """Return where each part was put, if it was spread over several places."""
    placed: Mapping[str, Any] | None = getattr(model, "hf_device_map", None)
    return None if placed is None else {part: str(place) for part, place in placed.items()}


def packing(model: Any) -> dict[str, Any] | None:
    """Return how bitsandbytes has packed the weights, read from its layers; None if it has not."""
    names = ("Linear4bit", "Linear8bitLt")
    layers = [module for module in model.modules() if type(module).__name__ in names]
    if not layers:
        return None
    first = layers[0]
    state: Any = getattr(first.weight, "quant_state", None)  # of 4 bits only
    # For some CPUs the weights are packed anew when they are first used: their scales are then
    # packed no more, and its kernel computes in one type, whatever the layer says.
    is_repacked = getattr(state, "packing_format_for_cpu", False)
    computes_in = state.dtype if is_repacked else getattr(first, "compute_dtype", None)
    compute_dtype = None if computes_in is None else str(computes_in).removeprefix("torch.")
    return {
        "layer": type(first).__name__,
        "n_layers": len(layers),
        "compute_dtype": compute_dtype,
        "quant_type": getattr(state, "quant_type", None),
        "double_quant": getattr(state, "nested", None),
    }


def adapter(model: Any) -> str:
    """Return whether an adapter runs beside the weights: `none` also after it was merged."""
    layers = [module for module in model.modules() if hasattr(module, "merged_adapters")]
    if not layers:
        return "none"
    running = all(m.active_adapters and not m.disable_adapters and not m.merged for m in layers)
    return "beside" if running else "inactive"


def cache_name(cache: Any) -> str | None:
    """Return the class of a cache, and whether it is kept in host memory."""
    if cache is None:
        return None
    return f"{type(cache).__name__}{' offloaded' if getattr(cache, 'offloading', False) else ''}"


def commit(model: Any, revision: str | None) -> str | None:
    """Return the commit on the hub that the model came from; None for a folder or a builtin."""
    name = getattr(model.config, "_name_or_path", "")
    if not name:
        return None
    resolve = getattr(hub, "resolve_revision", None)
    if resolve is None:  # older versions of transformers keep it in the configuration
        return getattr(model.config, "_commit_hash", None)
    # From the local cache, where loading has noted it: nothing is asked of the hub.
    return getattr(resolve(name, revision, local_files_only=True), "resolved", None)
