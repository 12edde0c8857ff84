"""Compares the requested options with those that the running model shows, in one table.

If they differ, the run fails: a result with a wrong label is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import torch

from llem_config import ExperimentConfig, PyTorchConfig
from llem_energy._backends.pytorch import introspection as readings
from llem_energy._backends.pytorch.checkpoint import is_packed
from llem_energy._backends.pytorch.compilation import compiler_options, is_compiled
from llem_energy._backends.pytorch.loading import DTYPES, generating_model
from llem_energy._backends.pytorch.section import section
from llem_energy._errors import BackendError

NOT_YET: Final = "nothing generated yet"
_CACHES = {
    "dynamic": "DynamicCache",
    "static": "StaticCache",
    "offloaded": "DynamicCache offloaded",
    "offloaded_static": "StaticCache offloaded",
    "quantized": "QuantizedCache",
}


class Running(NamedTuple):
    """A loaded model and its state so far."""

    config: ExperimentConfig
    device: torch.device
    model: Any
    generation: Any
    """The generation arguments that are passed to `generate`."""
    assistant: Any
    n_compilations: int
    batch_sizes: tuple[int, ...] = ()
    """Of the prepared batches: less than requested if there are too few prompts."""
    cache: str | None = NOT_YET
    """The class of the cache of the last generation; None without a cache."""
    checkpoint: Mapping[str, Any] = {}
    """How the weights are stored in the files."""

    @property
    def options(self) -> PyTorchConfig:
        """Return the section `pytorch:`."""
        return section(self.config)


class Row(NamedTuple):
    """One property that an experiment may request."""

    what: str
    requested: Callable[[Running], Any]
    """None if the experiment leaves it to the library."""
    actual: Callable[[Running], Any]


def _option(name: str) -> Callable[[Running], Any]:
    return lambda running: getattr(running.options, name)


def _packing(key: str) -> Callable[[Running], Any]:
    return lambda running: (readings.packing(running.model) or {}).get(key)


def _requested_type(running: Running) -> str | None:
    if running.options.load_in_4bit or running.options.load_in_8bit:
        return None
    if running.checkpoint.get("quantization_config") and is_packed(running.model):
        return None  # the files decide; `precision` is that of the activations
    return str(DTYPES[running.config.precision]).removeprefix("torch.")


def _requested_layers(running: Running) -> str | None:
    if running.options.load_in_4bit:
        return "Linear4bit"
    return "Linear8bitLt" if running.options.load_in_8bit else None


def _requested_adapter(running: Running) -> str:
    lora = running.config.lora
    return "none" if lora is None or lora.merge_weights else "beside"


def _places(running: Running) -> str:
    """Return `GPUs`, or the parts that the library put elsewhere without permission."""
    devices, allowed = readings.device_map(running.model), running.options.max_memory or {}
    if devices is None:
        return "one device"
    forbidden = {"cpu", "disk"} - {*allowed}
    moved = [f"{part or 'all'} on {v}" for part, v in devices.items() if v in forbidden]
    return ", ".join(moved) or "GPUs"


def _compiled(running: Running) -> bool | str:
    if not running.options.torch_compile:
        return is_compiled(running.model)
    if running.cache is NOT_YET:
        return NOT_YET  # the code is compiled when it first runs
    return is_compiled(running.model) and running.n_compilations > 0


_ROWS: tuple[Row, ...] = (
    Row("precision", _requested_type, lambda r: readings.main_type(r.model)),
    Row("random_seed", lambda r: r.config.random_seed, lambda _: torch.initial_seed()),
    Row("device", lambda r: None if r.options.device_map else {r.device.type},
        lambda r: readings.kinds_of_device(r.model)),
    Row("device_map to use", lambda r: "GPUs" if r.options.device_map else None, _places),
    Row("attn_implementation", _option("attn_implementation"),
        lambda r: readings.attention(r.model)),
    Row("torch_compile", _option("torch_compile"), _compiled),
    Row("use_cache", _option("use_cache"),
        lambda r: NOT_YET if r.cache is NOT_YET else r.cache is not None),
    Row("cache_implementation", lambda r: _CACHES.get(r.options.cache_implementation or ""),
        lambda r: r.cache),
    Row("layers of bitsandbytes", _requested_layers, _packing("layer")),
    Row("bnb_4bit_compute_dtype", _option("bnb_4bit_compute_dtype"), _packing("compute_dtype")),
    Row("bnb_4bit_quant_type", _option("bnb_4bit_quant_type"), _packing("quant_type")),
    Row("bnb_4bit_use_double_quant", _option("bnb_4bit_use_double_quant"),
        _packing("double_quant")),
    Row("layers of an adapter", _requested_adapter, lambda r: readings.adapter(r.model)),
    Row("a revision of the hub", lambda r: True if r.options.revision else None,
        lambda r: readings.commit(r.model, r.options.revision) is not None),
)  # fmt: skip


_REPACKED = (
    ": this CPU repacks 4-bit weights and computes in bfloat16; remove the option or use a GPU"
)


def check(running: Running) -> None:
    """Return if the model runs as requested.

    Raises:
        BackendError: it does not; the message states the first difference.
    """
    for row in _ROWS:
        requested = row.requested(running)
        actual = NOT_YET if requested is None else row.actual(running)
        if actual not in (NOT_YET, requested):
            is_repacked = row.what.startswith("bnb_4bit") and running.device.type == "cpu"
            hint = _REPACKED if is_repacked else ""
            raise BackendError(
                f"requested {row.what} {_text(requested)}, found {_text(actual)}{hint}"
            )
    effective_arguments = _after_defaults(running)
    given = running.generation.to_diff_dict()
    for name in given.keys() - {"transformers_version"}:
        used = effective_arguments.get(name)
        if used != given[name]:
            raise BackendError(f"requested {name} {given[name]}, but `generate` uses {used}")


def effective(running: Running) -> dict[str, Any]:
    """Return the options that are really in use: JSON types only."""
    model, assistant = running.model, running.assistant
    on_gpu = running.device.type == "cuda"
    compiled = is_compiled(model)
    return {
        "device": str(running.device),
        "device_name": torch.cuda.get_device_name(0) if on_gpu else "cpu",
        "device_map": readings.device_map(model),
        **_architecture(model),
        "revision": readings.commit(model, running.options.revision),
        "dtypes": dict(readings.weight_types(model)),
        "checkpoint": dict(running.checkpoint),
        "quantisation": readings.packing(model),
        "adapter": "merged" if _is_merged(running) else readings.adapter(model),
        "attn_implementation": readings.attention(model),
        "attention": readings.attention_layers(model),
        "experts_implementation": getattr(model.config, "_experts_implementation", None),
        "compiled": compiled,
        "compiler": compiler_options(model) if compiled else None,
        "n_compilations": running.n_compilations,
        "cache": running.cache,
        "batch_size": max(running.batch_sizes, default=running.options.batch_size or 1),
        "batch_sizes": list(running.batch_sizes),
        "batching": running.options.batching or "static",
        "generation": _after_defaults(running),
        "assistant": None if assistant is None else _architecture(assistant),
        "seed": torch.initial_seed(),
        "n_threads": torch.get_num_threads(),
    }


def _architecture(model: Any) -> dict[str, Any]:
    kind = type(generating_model(model))
    return {
        "architecture": kind.__name__,
        "remote_code": kind.__module__.startswith("transformers_modules"),
        "n_parameters": sum(weight.numel() for weight in model.parameters()),
        "dtype": readings.main_type(model),
    }


def _is_merged(running: Running) -> bool:
    return running.config.lora is not None and readings.adapter(running.model) == "none"


def _after_defaults(running: Running) -> dict[str, Any]:
    """Return every generation argument that is set, including the library's defaults."""
    # `generate` calls this first; it has no public name.
    prepared, _ = generating_model(running.model)._prepare_generation_config(running.generation)
    return {key: value for key, value in prepared.to_dict().items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, set):
        return ", ".join(sorted(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
