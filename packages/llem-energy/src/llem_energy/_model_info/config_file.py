"""Reads the config.json of a model and checks its values before anything computes with them.

The file may come from anybody. Only what no library could run is refused; a test checks that the
defaults of every configuration in transformers pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llem_config.foreign_files import kind_of, read_json, shown

CONFIG_NAME = "config.json"
_MAX_CONFIG_BYTES = 20_000_000
_MAX_LAYERS, _MAX_WIDTH, _MAX_VOCABULARY = 10_000, 10_000_000, 100_000_000

# Each size has several names. First those that every model with the key needs, then those that may
# be null or 0.
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model")
_NEEDED = {
    **dict.fromkeys(_LAYERS, _MAX_LAYERS),
    **dict.fromkeys(_HIDDEN, _MAX_WIDTH),
    "vocab_size": _MAX_VOCABULARY,
}
_OPTIONAL = {
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), _MAX_LAYERS),
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads",
         "head_dim", "intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size",
         "moe_intermediate_size", "num_local_experts", "num_experts", "n_routed_experts",
         "num_experts_per_tok", "kv_lora_rank", "q_lora_rank"),
        _MAX_WIDTH,
    ),
}  # fmt: skip
_PARTS = ("text_config", "llm_config", "decoder", "encoder")
_HEADS = (("hidden_size", "num_attention_heads"), ("n_embd", "n_head"))
# Types whose layers have hidden_size / num_attention_heads values per head if no other size is given.
_EVEN_HEADS = frozenset((
    "codegen", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "granite", "llama", "mistral", "mixtral",
    "olmo", "olmo2", "olmoe", "opt", "phi", "phi3", "qwen2", "qwen2_moe", "smollm3", "stablelm",
    "starcoder2",
))  # fmt: skip


def read_config_file(folder: Path) -> dict[str, Any]:
    """Return the content of a model's config.json; its values are not checked.

    Raises:
        ForeignFileError: it cannot be read, or is no JSON object.
    """
    return read_json(folder / CONFIG_NAME, max_bytes=_MAX_CONFIG_BYTES)


def config_problems(data: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the values of a config.json, as `KEY: expected ..., found ...`."""
    problems = [*_text_problems(data), *_size_problems(data), *_head_problems(data)]
    for name in _PARTS:
        part = data.get(name)
        if isinstance(part, dict):
            found = [*_size_problems(part), *_head_problems(part)]
            problems += [f"{name}.{problem}" for problem in found]
        elif name == "text_config" and part is not None:
            problems.append(f"{name}: expected an object, found {kind_of(part)}")
    return problems


def _text_problems(data: Mapping[str, Any]) -> Iterator[str]:
    model_type, names = data.get("model_type", ""), data.get("architectures")
    if not isinstance(model_type, str):
        yield f"model_type: expected text, found {shown(model_type)}"
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        yield f"architectures: expected a list of names, found {shown(names)}"
    for name in ("auto_map", "quantization_config"):
        value = data.get(name)
        if value is not None and not isinstance(value, dict):
            yield f"{name}: expected an object, found {shown(value)}"


def _size_problems(data: Mapping[str, Any]) -> Iterator[str]:
    for name, high in _NEEDED.items():
        if name in data and not _is_size(data[name], 1, high):
            yield f"{name}: expected a whole number from 1 to {high:,}, found {shown(data[name])}"
    for name, high in _OPTIONAL.items():
        value = data.get(name)
        # Some models have one value for each layer.
        values = value if isinstance(value, list) else [value]
        for each in values[: _MAX_LAYERS + 1]:
            if each is not None and not _is_size(each, 0, high):
                yield f"{name}: expected a whole number from 0 to {high:,}, found {shown(each)}"
                break


def _is_size(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _head_problems(data: Mapping[str, Any]) -> Iterator[str]:
    model_type = data.get("model_type")
    if not isinstance(model_type, str) or model_type not in _EVEN_HEADS:
        return
    for width_name, heads_name in _HEADS:
        width, n_heads = data.get(width_name), data.get(heads_name)
        if not isinstance(width, int) or not isinstance(n_heads, int):
            continue
        if n_heads < 1:
            yield f"{heads_name}: expected a whole number from 1, found {shown(n_heads)}"
        elif width % n_heads and not data.get("head_dim"):
            yield (
                f"{width_name}: expected a multiple of {heads_name} ({n_heads}), "
                f"found {shown(width)}"
            )
        n_kv = data.get("num_key_value_heads") if heads_name == "num_attention_heads" else None
        if n_heads > 0 and isinstance(n_kv, int) and n_kv and n_heads % n_kv:
            yield f"num_key_value_heads: expected a divisor of {n_heads}, found {shown(n_kv)}"
