"""Whether a model is a decoder that transformers can run alone, read without importing either.

Other models would run too, but not as what they are: an encoder-decoder without its encoder, an
encoder that reads the tokens after the one it is to predict, a model of another task. The pre-flight
checks call this in a process that does not load torch, so this file must not load it either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from llem_config.foreign_files import shown
from llem_energy._backends.pytorch.library_source import (
    causal_model_types,
    config_defaults,
    needed_to_be_causal,
)

AUTO_CLASS = "AutoModelForCausalLM"
# Sizes that only a model with both parts has; older config.json files lack `is_encoder_decoder`.
_BOTH_PARTS = (
    ("encoder_layers", "decoder_layers"),
    ("num_encoder_layers", "num_decoder_layers"),
    ("num_layers", "num_decoder_layers"),
    ("encoder", "decoder"),
)
_OTHER_TASKS = (
    "ForMaskedLM", "ForPreTraining", "ForSequenceClassification", "ForTokenClassification",
    "ForQuestionAnswering", "ForMultipleChoice", "ForNextSentencePrediction",
)  # fmt: skip
_KERNEL_KEY = re.compile(r".*_implementation(_\w+)?")
_KERNEL_OPTIONS = ("use_kernels", "kernel_config", "allow_all_kernels")
ENCODER_DECODER = (
    "is an encoder-decoder model, of which only the decoder would run; use a decoder-only model"
)
NEEDS_CODE = (
    "needs the code that came with it; read that code, then set pytorch.trust_remote_code: true"
)


def not_causal(model_type: str) -> str:
    """Return why the library cannot run a model of this type, as the end of a sentence."""
    return (
        f"is of type {_plain(model_type)}, which the installed transformers cannot run as a causal "
        "language model; use a model of another type, or a newer transformers"
    )


def encoder(model_type: str, key: str) -> str:
    """Return why an encoder is no causal language model, as the end of a sentence.

    Args:
        model_type: of the model.
        key: of config.json, which is not true.
    """
    return (
        f"is of type {_plain(model_type)}, an encoder that reads later tokens too, because its "
        f"config.json does not set {key}: true; use a causal model"
    )


def kernel_options(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options of `passthrough_kwargs` by which code of the hub would run."""
    yield from (f"{key}: {shown(value)}" for key, value in _kernels(options))
    yield from (name for name in _KERNEL_OPTIONS if options.get(name))


def kind_problem(data: Mapping[str, Any], *, trusts_code: bool) -> str | None:
    """Return why no version of transformers runs a model as what it is, as the end of a sentence.

    Args:
        data: its config.json, whose values were checked.
        trusts_code: whether code that came with the model may run.
    """
    if is_encoder_decoder(data):
        return ENCODER_DECODER
    names, model_type = data.get("architectures"), data.get("model_type")
    architecture = names[0] if names else ""
    if architecture.endswith(_OTHER_TASKS) and not data.get("is_decoder"):
        name = _plain(architecture)
        return f"is a {name}, which was not trained to continue text; use a causal model"
    if not trusts_code:
        for key, value in _kernels(data):
            return (
                f"names a kernel of the hub in its config.json ({_plain(key)}: {shown(value)}), "
                "which is code; read it, then set pytorch.trust_remote_code: true, or remove the key"
            )
    code = data.get("auto_map") or {}
    if not model_type and "AutoConfig" not in code:
        return (
            "has no model_type in its config.json, so that transformers would guess it from the "
            "path; add the key"
        )
    if model_type in (causal_model_types() or ()):
        needed = needed_to_be_causal(str(model_type))
        if needed is not None and data.get(needed) is not True:
            return encoder(str(model_type), needed)
    elif AUTO_CLASS in code and not trusts_code:
        return NEEDS_CODE
    return None


def unknown_type(data: Mapping[str, Any]) -> str | None:
    """Return why the installed transformers cannot run a model, as the end of a sentence."""
    model_type, known = data.get("model_type"), causal_model_types()
    if not isinstance(model_type, str) or not model_type or known is None or model_type in known:
        return None
    if kind_problem(data, trusts_code=True):
        return None  # which says more
    return None if AUTO_CLASS in (data.get("auto_map") or {}) else not_causal(model_type)


def is_encoder_decoder(data: Mapping[str, Any]) -> bool:
    """Return whether a config.json describes a model with an encoder and a decoder.

    Files leave out what is the default of their type.
    """
    stated, model_type = data.get("is_encoder_decoder"), data.get("model_type")
    if isinstance(stated, bool):
        return stated
    if isinstance(model_type, str) and config_defaults(model_type).get("is_encoder_decoder"):
        return True
    return any(all(data.get(name) for name in names) for names in _BOTH_PARTS)


def _kernels(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys, at any depth, whose value names a repository of the hub with code to run."""
    for key, value in data.items():
        if isinstance(value, dict):
            if _KERNEL_KEY.fullmatch(key):  # one implementation for each part of the model
                yield from ((key, text) for text in value.values() if _is_repository(text))
            yield from _kernels(value)
        elif _KERNEL_KEY.fullmatch(key) and _is_repository(value):
            yield key, value


def _is_repository(value: object) -> bool:
    return isinstance(value, str) and "/" in value


def _plain(name: str) -> str:
    """Return a name as it is if it is an ordinary one, and quoted and cut otherwise."""
    is_ordinary = name.isascii() and name.isprintable() and 0 < len(name) < 60
    return name if is_ordinary else shown(name)
