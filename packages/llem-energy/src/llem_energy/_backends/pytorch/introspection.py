"""Reads properties of a loaded model and its GPUs: attention, weights, devices, quantisation, adapters."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
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
    """Return the attention implementation; if layers differ, all implementations."""
    used = {layer.config._attn_implementation for layer in _attentions(model)}
    # A model with its own code may have attention modules that are unknown here.
    return ", ".join(sorted(used or {str(model.config._attn_implementation)}))


def _attentions(model: Any) -> list[Any]:
    return [
        module
        for module in model.modules()
        if type(module).__name__.endswith("Attention")
        and hasattr(getattr(module, "config", None), "_attn_implementation")
    ]


def _function(layer: Any) -> str:
    """Return the name of the function that a layer calls, looked up as the layer does."""
    source = vars(sys.modules[type(layer).__module__])
    interface, eager = source.get("ALL_ATTENTION_FUNCTIONS"), source.get("eager_attention_forward")
    if interface is None or eager is None:
        return f"{type(layer).__name__}.forward"
    name: str = interface.get_interface(layer.config._attn_implementation, eager).__name__
    return name


def weight_types(model: Any) -> Counter[str]:
    """Return the number of weights of each type; quantised weights count as stored."""
    counts: Counter[str] = Counter()
    for weight in model.parameters():
        counts[str(weight.dtype).removeprefix("torch.")] += weight.numel()
    return counts


def main_type(model: Any) -> str:
    """Return the most frequent type of weights: some architectures keep a few layers in fp32."""
    return weight_types(model).most_common(1)[0][0]


def kinds_of_device(model: Any) -> set[str]:
    """Return the kinds of devices that hold weights: `cpu`, `cuda`."""
    return {weight.device.type for weight in model.parameters()}


def device_map(model: Any) -> dict[str, str] | None:
    """Return the device of each part; None if the model is not spread."""
    devices: Mapping[str, Any] | None = getattr(model, "hf_device_map", None)
    return None if devices is None else {part: str(place) for part, place in devices.items()}


def packing(model: Any) -> dict[str, Any] | None:
    """Return how bitsandbytes quantised the weights, read from its layers; None if it did not."""
    names = ("Linear4bit", "Linear8bitLt")
    layers = [module for module in model.modules() if type(module).__name__ in names]
    if not layers:
        return None
    first = layers[0]
    state: Any = getattr(first.weight, "quant_state", None)  # 4 bits only
    # For some CPUs, bitsandbytes repacks the weights at their first use: the scales are then not
    # quantised, and the kernel computes in one fixed type, regardless of the layer's setting.
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


def computed_type(model: Any) -> str:
    """Return the type in which the matrices of the layers are multiplied, such as `bfloat16`."""
    packed = packing(model)
    if packed is None:
        return main_type(model)
    # LLM.int8() multiplies integers; layers of 4 bits are unpacked to their compute type first.
    return "int8" if packed["layer"] == "Linear8bitLt" else packed["compute_dtype"] or "float32"


def adapter(model: Any) -> str:
    """Return `beside` if an adapter runs beside the weights; `none` also after merging."""
    layers = [module for module in model.modules() if hasattr(module, "merged_adapters")]
    if not layers:
        return "none"
    running = all(m.active_adapters and not m.disable_adapters and not m.merged for m in layers)
    return "beside" if running else "inactive"


def cache_name(cache: Any) -> str | None:
    """Return the class of a cache, and whether it is offloaded to host memory."""
    if cache is None:
        return None
    return f"{type(cache).__name__}{' offloaded' if getattr(cache, 'offloading', False) else ''}"


def commit(model: Any, revision: str | None) -> str | None:
    """Return the hub commit of the model; None for a local folder or a builtin."""
    name = getattr(model.config, "_name_or_path", "")
    if not name:
        return None
    resolve = getattr(hub, "resolve_revision", None)
    if resolve is None:  # older versions of transformers keep it in the configuration
        return getattr(model.config, "_commit_hash", None)
    # From the local cache, where loading has recorded it, without contacting the hub.
    return getattr(resolve(name, revision, local_files_only=True), "resolved", None)


def gpu_uuid(index: int) -> str:
    """Return the UUID of a GPU as its driver's library writes it; of an AMD GPU, its place."""
    properties = torch.cuda.get_device_properties(index)
    if torch.version.hip is not None:
        # Its UUID is not that of AMD's library; torch numbers only the visible GPUs.
        place = (properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id)
        return "{:04x}:{:02x}:{:02x}.0".format(*place)
    uuid = str(properties.uuid)
    return uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
