"""Loads a transformers model with the options of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers

from llem_config import ExperimentConfig, PyTorchConfig
from llem_energy._backends.pytorch.adapters import with_adapter
from llem_energy._backends.pytorch.checkpoint import check_types, checkpoint_facts, type_warnings
from llem_energy._backends.pytorch.library_errors import first_paragraph, foreign_errors
from llem_energy._backends.pytorch.library_source import needed_to_be_causal
from llem_energy._backends.pytorch.loading_report import loading_warnings
from llem_energy._backends.pytorch.model_kind import (
    AUTO_CLASS,
    ENCODER_DECODER,
    encoder,
    not_causal,
)
from llem_energy._backends.pytorch.section import section
from llem_energy._errors import BackendError
from llem_energy._hub import expanded, unreachable_hub
from llem_energy._model_info.builtin import builtin_architecture
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._model_info.stored_weights import StoredTensor, stored_weights

# Block sizes of bitsandbytes 0.50 on CPUs with AVX512 (`functional.py`,
# `_convert_weight_packed_for_cpu`).
_PACKED_IN, _PACKED_OUT = 64, 32
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def _place(name: str) -> str:
    """Return the full path of a folder below the home folder, and any other name unchanged."""
    return str(expanded(name)) if name.startswith("~") else name


def _offline(load: Callable[..., Any], place: str, **options: Any) -> Any:
    """Load from this machine."""
    return load(place, local_files_only=True, **options)


def _offline_first(load: Callable[..., Any], place: str, **options: Any) -> Any:
    """Load from this machine, and contact the hub only for what is missing.

    A study then does not wait for the hub in each run, and its model cannot change halfway.
    """
    try:
        return _offline(load, place, **options)
    except OSError:
        # The library would try to reach the hub for a minute.
        if not Path(place).is_dir() and (reason := unreachable_hub()):
            raise OSError(reason) from None
        return load(place, **options)


def load_architecture(config: ExperimentConfig) -> Any:
    """Return the model's configuration: builtin, local folder or hub.

    Raises:
        BackendError: it cannot be found, or transformers does not know it.
    """
    builtin = builtin_architecture(config.model)
    options = section(config)
    try:
        if builtin is not None:
            return transformers.AutoConfig.for_model(**builtin)
        return _offline_first(
            transformers.AutoConfig.from_pretrained,
            _place(config.model),
            revision=options.revision,
            trust_remote_code=bool(options.trust_remote_code),
        )
    except OSError as error:
        raise BackendError(
            f"model {config.model!r} cannot be found: {first_paragraph(error)}"
        ) from error
    except Exception as error:  # the configuration classes check values in many ways
        raise BackendError(
            f"the config.json of model {config.model!r} cannot be used: {first_paragraph(error)}"
        ) from error


def load_tokenizer(config: ExperimentConfig) -> Any:
    """Return the model's tokenizer, which pads on the left as a decoder needs it.

    Raises:
        BackendError: the model has none, e.g. a builtin.
    """
    options = section(config)
    return load_tokenizer_of(config.model, options.revision, bool(options.trust_remote_code))


def load_tokenizer_of(
    model: str, revision: str | None, trust_remote_code: bool, *, is_local: bool = False
) -> Any:
    """Return the tokenizer of a model; see `load_tokenizer`.

    Args:
        model: hub id or local folder.
        revision: of a hub id.
        trust_remote_code: whether code of the model may run.
        is_local: whether only files on this machine may be used.
    """
    find = _offline if is_local else _offline_first
    try:
        return find(
            transformers.AutoTokenizer.from_pretrained,
            _place(model),
            revision=revision,
            trust_remote_code=trust_remote_code,
            padding_side="left",
        )
    except Exception as error:  # the tokenizers library has no error types of its own
        raise BackendError(
            f"model {model!r} has no tokenizer that can be used, but text prompts need one: "
            f"{first_paragraph(error)}"
        ) from error


class LoadedModel(NamedTuple):
    """A model on its device."""

    model: Any
    warnings: tuple[str, ...]
    """How it differs from its files."""
    checkpoint: dict[str, Any]
    """How its weights are stored, from `checkpoint_facts`."""


def load_model(config: ExperimentConfig, device: torch.device) -> LoadedModel:
    """Return the model on its device, with its adapter.

    Raises:
        BackendError: it cannot be loaded.
    """
    differences: list[str] = []
    stored: Mapping[str, StoredTensor] = {}
    variant = (config.passthrough_kwargs or {}).get("variant")
    reference = ModelRef(config.model, section(config).revision, variant)
    with foreign_errors(f"model {config.model!r} cannot be loaded"):
        architecture = _check_kind(config)
        if config.weights == "random":
            model = _random(config, device)
        else:
            model, report = _pretrained(config, architecture, device)
            if section(config).use_safetensors is not False:
                stored = stored_weights(reference) or {}
            has_parts = bool(architecture.sub_configs)
            differences += loading_warnings(
                config.model, model, report, stored, has_other_parts=has_parts
            )
            _check_packing(model, device)
        checkpoint = checkpoint_facts(reference, stored)
        check_types(config.model, model, checkpoint, config.precision)
        differences += type_warnings(config.model, model, checkpoint)
        if config.lora is not None:
            model, unused = with_adapter(config.lora, model)
            differences += unused
        model.eval()
    return LoadedModel(model, tuple(differences), checkpoint)


def _check_kind(config: ExperimentConfig) -> Any:
    """Return the configuration if transformers runs all of this model as a causal language model.

    The pre-flight checks look at config.json. Only the library knows what a file leaves out.

    Raises:
        BackendError: it does not.
    """
    architecture = load_architecture(config)
    if architecture.is_encoder_decoder:
        raise BackendError(f"model {config.model} {ENCODER_DECODER}")
    has_code = AUTO_CLASS in (getattr(architecture, "auto_map", None) or {})
    if not has_code and type(architecture) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise BackendError(f"model {config.model} {not_causal(architecture.model_type)}")
    needed = None if has_code else needed_to_be_causal(architecture.model_type)
    if needed is not None and getattr(architecture, needed, None) is not True:
        raise BackendError(f"model {config.model} {encoder(architecture.model_type, needed)}")
    return architecture


def _random(config: ExperimentConfig, device: torch.device) -> Any:
    options = section(config)
    architecture = load_architecture(config)
    vars(architecture).update(_without_bad_padding(architecture))
    torch.manual_seed(config.random_seed)
    with device:  # creates the weights on the device instead of in host memory
        return transformers.AutoModelForCausalLM.from_config(
            architecture,
            dtype=DTYPES[config.precision],
            trust_remote_code=bool(options.trust_remote_code),
            **_attention(options),
            **(config.passthrough_kwargs or {}),
        )


def _pretrained(
    config: ExperimentConfig, architecture: Any, device: torch.device
) -> tuple[Any, Any]:
    options = section(config)
    arguments = _without_bad_padding(architecture) | dict(config.passthrough_kwargs or {})
    if options.max_memory is not None:
        # Keys in YAML are text, but accelerate identifies GPUs by integers.
        keys = {key: int(key) if key.isdigit() else key for key in options.max_memory}
        arguments["max_memory"] = {keys[key]: value for key, value in options.max_memory.items()}
    if options.load_in_4bit or options.load_in_8bit:
        arguments["quantization_config"] = _quantisation(options)
    model, report = _offline_first(
        transformers.AutoModelForCausalLM.from_pretrained,
        _place(config.model),
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the loading info, with their shapes
        dtype=DTYPES[config.precision],
        device_map=options.device_map or {"": str(device)},
        revision=options.revision,
        trust_remote_code=bool(options.trust_remote_code),
        use_safetensors=options.use_safetensors is not False,  # a pickle can run code
        **_attention(options),
        **arguments,
    )
    return model, report


def _without_bad_padding(architecture: Any) -> dict[str, Any]:
    """Return what replaces a padding id outside the vocabulary, with which no model can be made."""
    pad_id = getattr(architecture, "pad_token_id", None)
    n_tokens = getattr(architecture.get_text_config(), "vocab_size", None)
    is_bad = isinstance(pad_id, int) and isinstance(n_tokens, int) and not 0 <= pad_id < n_tokens
    return {"pad_token_id": None} if is_bad else {}


def _check_packing(model: Any, device: torch.device) -> None:
    """Return if the kernel of this CPU can run all 4-bit layers.

    Raises:
        BackendError: it cannot; the message names the first layer.
    """
    for name, layer in model.named_modules():
        is_repacked = device.type == "cpu" and getattr(layer, "support_avx512bf16_for_cpu", False)
        if is_repacked and (layer.in_features % _PACKED_IN or layer.out_features % _PACKED_OUT):
            raise BackendError(
                f"load_in_4bit on this CPU needs layers with multiples of {_PACKED_IN} inputs and "
                f"{_PACKED_OUT} outputs, but {name} has {layer.in_features} and {layer.out_features}"
            )


def _attention(options: PyTorchConfig) -> dict[str, str]:
    # Passed only if requested, because the library's default differs between architectures.
    return (
        {"attn_implementation": options.attn_implementation} if options.attn_implementation else {}
    )


def _quantisation(options: PyTorchConfig) -> Any:
    arguments = {
        name: value
        for name in ("bnb_4bit_compute_dtype", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant")
        if (value := getattr(options, name)) is not None
    }
    return transformers.BitsAndBytesConfig(
        load_in_4bit=bool(options.load_in_4bit),
        load_in_8bit=bool(options.load_in_8bit),
        **arguments,
    )


def generating_model(model: Any) -> Any:
    """Return the model whose `generate` and `forward` run: for an adapter, its base model.

    `generate` calls the `forward` of the base model, not that of the adapter.
    """
    base_model = getattr(model, "get_base_model", None)
    return model if base_model is None else base_model()


def preload_model_class(config: ExperimentConfig) -> None:
    """Import the model's module in advance, which `from_pretrained` would do later."""
    architecture = load_architecture(config)
    mapping = transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if type(architecture) in mapping:
        mapping[type(architecture)]  # the lookup imports it
