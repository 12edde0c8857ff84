"""Loads a transformers model as an experiment asks."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
import transformers
from safetensors import SafetensorError

from llem_config import ExperimentConfig, PyTorchConfig
from llem_energy._backends.pytorch.section import section
from llem_energy._errors import BackendError, OutOfMemory
from llem_energy._model_info.builtin import builtin_architecture

# What bitsandbytes 0.50 packs together for processors with AVX512 (`functional.py`,
# `_convert_weight_packed_for_cpu`).
_PACKED_IN, _PACKED_OUT = 64, 32
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def _place(name: str) -> str:
    """Return a hub id as it is and a folder of the person's own in full."""
    return str(Path(name).expanduser()) if name.startswith("~") else name


def _offline_first(load: Callable[..., Any], place: str, **options: Any) -> Any:
    """Load what is on this machine without asking the hub, which is asked for the rest only.

    A study then neither waits for the hub at each run nor changes its model halfway.
    """
    try:
        return load(place, local_files_only=True, **options)
    except OSError:
        return load(place, **options)


def load_architecture(config: ExperimentConfig) -> Any:
    """Return the model's configuration: builtin, local folder or hub.

    Raises:
        BackendError: it cannot be found or is not one transformers knows.
    """
    builtin = builtin_architecture(config.model)
    own = section(config)
    try:
        if builtin is not None:
            return transformers.AutoConfig.for_model(**builtin)
        return _offline_first(
            transformers.AutoConfig.from_pretrained,
            _place(config.model),
            revision=own.revision,
            trust_remote_code=bool(own.trust_remote_code),
        )
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(f"model {config.model!r} cannot be found: {_first(error)}") from error


def load_tokenizer(config: ExperimentConfig) -> Any:
    """Return the model's tokenizer, padding on the left as a decoder needs it.

    Raises:
        BackendError: the model has none, e.g. a builtin.
    """
    own = section(config)
    try:
        tokenizer = _offline_first(
            transformers.AutoTokenizer.from_pretrained,
            _place(config.model),
            revision=own.revision,
            trust_remote_code=bool(own.trust_remote_code),
            padding_side="left",
        )
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(
            f"model {config.model!r} has no tokenizer, which prompts of text need: {_first(error)}"
        ) from error
    return tokenizer


def load_model(config: ExperimentConfig, device: torch.device) -> Any:
    """Return the model on its device, its adapter applied.

    Raises:
        BackendError: it cannot be loaded.
    """
    with foreign_errors(f"model {config.model!r} cannot be loaded"):
        if config.weights == "random":
            model = _random(config, device)
        else:
            model = _pretrained(config, device)
            _check_packing(model, device)
        if config.lora is not None:
            model = _with_adapter(config, model)
        model.eval()
    return model


def _random(config: ExperimentConfig, device: torch.device) -> Any:
    own = section(config)
    architecture = load_architecture(config)
    torch.manual_seed(config.random_seed)
    with device:  # made where they are used, rather than in host memory first
        return transformers.AutoModelForCausalLM.from_config(
            architecture,
            dtype=DTYPES[config.precision],
            trust_remote_code=bool(own.trust_remote_code),
            **_attention(own),
            **(config.passthrough_kwargs or {}),
        )


def _pretrained(config: ExperimentConfig, device: torch.device) -> Any:
    own = section(config)
    options: dict[str, Any] = dict(config.passthrough_kwargs or {})
    if own.max_memory is not None:
        # YAML keys are text; accelerate names GPUs by whole numbers.
        keys = {key: int(key) if key.isdigit() else key for key in own.max_memory}
        options["max_memory"] = {keys[key]: value for key, value in own.max_memory.items()}
    if own.load_in_4bit or own.load_in_8bit:
        options["quantization_config"] = _quantisation(own)
    model, found = _offline_first(
        transformers.AutoModelForCausalLM.from_pretrained,
        _place(config.model),
        output_loading_info=True,
        dtype=DTYPES[config.precision],
        device_map=own.device_map or {"": str(device)},
        revision=own.revision,
        trust_remote_code=bool(own.trust_remote_code),
        use_safetensors=own.use_safetensors is not False,  # a pickle can run code
        **_attention(own),
        **options,
    )
    if missing := sorted(found["missing_keys"]):
        # The library makes them up, and only logs it.
        raise BackendError(
            f"the files of model {config.model!r} lack {len(missing)} of its weights, "
            f"e.g. {missing[0]}"
        )
    return model


def _check_packing(model: Any, device: torch.device) -> None:
    """Refuse 4-bit layers that the kernel of this processor would fail on in the first answer.

    Raises:
        BackendError: the first of them.
    """
    for name, layer in model.named_modules():
        is_repacked = device.type == "cpu" and getattr(layer, "support_avx512bf16_for_cpu", False)
        if is_repacked and (layer.in_features % _PACKED_IN or layer.out_features % _PACKED_OUT):
            raise BackendError(
                f"load_in_4bit on this CPU needs layers of multiples of {_PACKED_IN} inputs and "
                f"{_PACKED_OUT} outputs, {name} has {layer.in_features} and {layer.out_features}"
            )


def _attention(own: PyTorchConfig) -> dict[str, str]:
    # Named only if asked for: the library's own default may differ between architectures.
    return {"attn_implementation": own.attn_implementation} if own.attn_implementation else {}


def _quantisation(own: PyTorchConfig) -> Any:
    options = {
        name: value
        for name in ("bnb_4bit_compute_dtype", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant")
        if (value := getattr(own, name)) is not None
    }
    return transformers.BitsAndBytesConfig(
        load_in_4bit=bool(own.load_in_4bit), load_in_8bit=bool(own.load_in_8bit), **options
    )


def _with_adapter(config: ExperimentConfig, model: Any) -> Any:
    assert config.lora is not None
    peft = importlib.import_module("peft")
    # Else peft would run the adapter of a model in half precision in fp32.
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        adapted = peft.PeftModel.from_pretrained(
            model, _place(config.lora.adapter), autocast_adapter_dtype=False
        )
    # Weights that the files lack stay as they were drawn, and the library only warns.
    if any("missing adapter keys" in str(one.message) for one in said):
        raise BackendError(
            f"the files of the adapter {config.lora.adapter} lack weights for this model; "
            "was it made for another one?"
        )
    for one in said:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return adapted.merge_and_unload() if config.lora.merge_weights else adapted


def generating_model(model: Any) -> Any:
    """Return the model whose `generate` and `forward` run in the end: below an adapter, its base.

    An adapter's own `forward` is passed by: `generate` calls that of the model it adapts.
    """
    below = getattr(model, "get_base_model", None)
    return model if below is None else below()


@contextmanager
def foreign_errors(what: str) -> Iterator[None]:
    """Turn what torch and its libraries raise into BackendError, or OutOfMemory."""
    try:
        yield
    except torch._dynamo.exc.FailOnRecompileLimitHit as error:
        n_most = torch._dynamo.config.recompile_limit
        raise BackendError(
            f"{what}: the model was compiled {n_most} times already, for as many kinds of batches, "
            "and torch would go on with uncompiled code"
        ) from error
    except (
        OSError, ValueError, ImportError, LookupError, TypeError, AttributeError, RuntimeError,
        SafetensorError, MemoryError, AssertionError,
    ) as error:  # fmt: skip
        kind = OutOfMemory if _is_out_of_memory(error) else BackendError
        raise kind(f"{what}: {_first(error)}") from error


def _is_out_of_memory(error: BaseException) -> bool:
    # The allocator of the CPU has no error of its own.
    return isinstance(
        error, MemoryError | torch.OutOfMemoryError
    ) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _first(error: BaseException) -> str:
    """Return the first paragraph of a library's message as one line."""
    return " ".join(str(error).partition("\n\n")[0].split()) or type(error).__name__


def preload_model_class(config: ExperimentConfig) -> None:
    """Import the model's own module, which `from_pretrained` would otherwise do when it is due."""
    architecture = load_architecture(config)
    mapping = transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if type(architecture) in mapping:
        mapping[type(architecture)]  # the lookup imports it
