"""The section of each inference library. A field that is None leaves the library its default."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt
from pydantic_core import PydanticCustomError

from llem_config._spec.capabilities import PhaseName

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
"""Strict: `"8"` is no number, `1` is no boolean. A wrong type is a mistake, not a wish."""

Fraction = Annotated[float, Field(ge=0.1, le=1.0)]
Size = Annotated[str, Field(pattern=r"^[0-9]+ ?([KMGT]i?)?B$")]


def own_plain(value: Any) -> Any:
    """Return a copy as a file would hold it: text keys (`{0: 20GiB}` in Python), finite numbers.

    What JSON cannot hold would change on its way to the worker process, or break the hash.
    """
    match value:
        case Mapping():
            return {str(key): own_plain(item) for key, item in value.items()}
        case list() | tuple():
            return [own_plain(item) for item in value]
        case float() if not math.isfinite(value):
            found = str(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            found = type(value).__name__
    raise PydanticCustomError(
        "llem_plain",
        "expected text, finite numbers, true, false, lists and mappings, found {found}",
        {"found": found},
    )


OwnDict = BeforeValidator(own_plain)
"""Free-form values pass through validation as they are; a copy keeps points from sharing them."""


class PyTorchConfig(BaseModel):
    """transformers on PyTorch: how the model is loaded and how `generate` is called."""

    model_config = STRICT

    batch_size: PositiveInt | None = None
    """Prompts per call of `generate`; 1 by default."""
    batching: Literal["static", "sorted"] | None = None
    """`static`: in the order of the data set; `sorted`: by length, so that less is padded."""
    device: Literal["auto", "cuda", "cpu"] | None = None
    """`auto`, the default, takes the GPU if there is one. Never a silent fallback."""
    attn_implementation: (
        Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] | None
    ) = None
    torch_compile: bool | None = None
    torch_compile_mode: (
        Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] | None
    ) = None
    torch_compile_backend: str | None = None
    cache_implementation: (
        Literal["dynamic", "static", "offloaded", "offloaded_static", "quantized"] | None
    ) = None
    use_cache: bool | None = None
    load_in_4bit: bool | None = None
    load_in_8bit: bool | None = None
    bnb_4bit_compute_dtype: Literal["float32", "float16", "bfloat16"] | None = None
    bnb_4bit_quant_type: Literal["fp4", "nf4"] | None = None
    bnb_4bit_use_double_quant: bool | None = None
    num_beams: PositiveInt | None = None
    early_stopping: bool | Literal["never"] | None = None
    length_penalty: float | None = None
    no_repeat_ngram_size: PositiveInt | None = None
    prompt_lookup_num_tokens: PositiveInt | None = None
    assistant_model: str | None = None
    """A smaller model that drafts tokens; hub id or local folder."""
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = None
    max_memory: Annotated[dict[str, Size] | None, OwnDict] = None
    """Per device, e.g. `{0: 20GiB, cpu: 60GiB}`; needs `device_map`."""
    revision: str | None = None
    trust_remote_code: bool | None = None
    """Runs code that comes with the model; off by default."""
    use_safetensors: bool | None = None
    """false reads the model's pickle files instead, which can run code."""


class VLLMConfig(BaseModel):
    """vLLM: validated, not run yet."""

    model_config = STRICT

    max_num_seqs: PositiveInt | None = None
    tensor_parallel_size: PositiveInt | None = None
    gpu_memory_utilization: Fraction | None = None
    enable_prefix_caching: bool | None = None
    block_size: PositiveInt | None = None
    quantization: Literal["awq", "gptq", "fp8"] | None = None


class TensorRTConfig(BaseModel):
    """TensorRT-LLM: validated, not run yet."""

    model_config = STRICT

    max_batch_size: PositiveInt | None = None
    tp_size: PositiveInt | None = None
    quantization: Literal["int8_sq", "int4_awq", "fp8"] | None = None
    engine_path: str | None = None


def pytorch_conflicts(section: PyTorchConfig, precision: str) -> list[str]:
    """Return why transformers cannot run this combination of values, each fine in itself.

    Source: the checks in transformers 5.23 `generation/utils.py` (`_get_candidate_generator`,
    `_assisted_decoding`) and the loaders of its flash attention and bitsandbytes integrations.
    """
    # (condition, reason), each the wording of one refusal or one silently ignored option
    assisted = section.prompt_lookup_num_tokens or section.assistant_model
    flash = (section.attn_implementation or "").startswith("flash_attention")
    static = (section.cache_implementation or "") in ("static", "offloaded_static")
    bnb_4bit = _given(
        section, "bnb_4bit_compute_dtype", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant"
    )
    compile_options = _given(section, "torch_compile_mode", "torch_compile_backend")
    beam_options = _given(section, "early_stopping", "length_penalty")
    offloaded = (section.cache_implementation or "").startswith("offloaded")
    beams = (section.num_beams or 1) > 1
    cpu = section.device == "cpu"
    rules: list[tuple[Any, str]] = [
        (flash and precision == "fp32", "flash attention needs fp16 or bf16, not fp32"),
        (flash and cpu, "flash attention needs a GPU, not device cpu"),
        (section.load_in_4bit and section.load_in_8bit, "load_in_4bit and load_in_8bit exclude"
         " each other"),
        (offloaded and cpu, "an offloaded cache needs a GPU, not device cpu"),
        (bnb_4bit and not section.load_in_4bit, f"{bnb_4bit} has no effect without load_in_4bit"),
        (compile_options and not section.torch_compile,
         f"{compile_options} has no effect without torch_compile"),
        (section.torch_compile_mode and section.torch_compile_backend not in (None, "inductor"),
         "torch_compile_mode is inductor's, not that of another torch_compile_backend"),
        (section.cache_implementation and section.use_cache is False,
         "cache_implementation contradicts use_cache: false"),
        (beam_options and not beams, f"{beam_options} has no effect without num_beams > 1"),
        (section.prompt_lookup_num_tokens and section.assistant_model,
         "prompt_lookup_num_tokens and assistant_model exclude each other"),
        (assisted and beams, "assisted decoding does not work with num_beams > 1"),
        (assisted and static, "assisted decoding does not work with a static cache"),
        (assisted and section.use_cache is False, "assisted decoding needs the cache"),
        (assisted and (section.batch_size or 1) > 1, "assisted decoding needs batch_size 1"),
        (section.max_memory and not section.device_map, "max_memory has no effect without"
         " device_map"),
        (section.device_map and cpu, "device_map contradicts device cpu"),
    ]  # fmt: skip
    return [reason for condition, reason in rules if condition]


def pytorch_phase_conflicts(section: PyTorchConfig, phase: PhaseName) -> list[str]:
    """Return why transformers cannot run one phase of an answer apart with these values.

    What depends on the model, such as a window of attention, only the backend knows.
    """
    decode = phase == "decode"
    cache = section.cache_implementation or ""
    rules: list[tuple[Any, str]] = [
        (section.prompt_lookup_num_tokens or section.assistant_model,
         f"the phase {phase} does not work with assisted decoding, which drafts while it reads"),
        (decode and (section.num_beams or 1) > 1,
         "the phase decode does not work with num_beams > 1, which reorders the cache"),
        (decode and section.use_cache is False,
         "the phase decode needs the cache: without one every step reads the prompt again"),
        (decode and cache in ("offloaded", "offloaded_static", "quantized"),
         f"the phase decode does not work with cache_implementation {cache}, which cannot be put"
         " back as it was"),
    ]  # fmt: skip
    return [reason for condition, reason in rules if condition]


def _given(section: PyTorchConfig, *names: str) -> str:
    return " and ".join(name for name in names if getattr(section, name) is not None)
