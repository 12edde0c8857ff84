"""The section of the PyTorch backend, and combinations of its options that cannot run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from llem_config._spec.builtin_models import KNOWN_BUILTIN
from llem_config._spec.capabilities import PhaseName
from llem_config._spec.limits import Count
from llem_config._spec.path_field import PathField
from llem_config._spec.strict import STRICT, PlainDict

Size = Annotated[str, Field(pattern=r"^[0-9]+ ?([KMGT]i?)?B$")]


class PyTorchConfig(BaseModel):
    """transformers on PyTorch: how the model is loaded and how `generate` is called."""

    model_config = STRICT

    batch_size: Count | None = None
    """Number of prompts per call of `generate`; 1 by default."""
    batching: Literal["static", "sorted"] | None = None
    """`static`: in the order of the data set; `sorted`: by length, which needs less padding."""
    device: Literal["auto", "cuda", "cpu"] | None = None
    """`auto`, the default, uses the GPU if there is one; `cuda` without a GPU is an error."""
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
    num_beams: Count | None = None
    early_stopping: bool | Literal["never"] | None = None
    length_penalty: Annotated[float, Field(ge=-1000, le=1000)] | None = None
    no_repeat_ngram_size: Count | None = None
    prompt_lookup_num_tokens: Count | None = None
    assistant_model: Annotated[str | None, PathField(), KNOWN_BUILTIN] = None
    """A smaller model that drafts tokens: hub id or local folder."""
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = None
    max_memory: Annotated[dict[str, Size] | None, PlainDict] = None
    """Max memory per device, e.g. `{0: 20GiB, cpu: 60GiB}`; needs `device_map`."""
    revision: str | None = None
    trust_remote_code: bool | None = None
    """Allow code that comes with the model to run; false by default."""
    use_safetensors: bool | None = None
    """false reads the model's pickle files, which can run code."""


OFF_IF_ABSENT = ("no_repeat_ngram_size", "prompt_lookup_num_tokens", "num_beams")
"""Options that other tools switch off with 0, and that are off here if they are left out."""


def pytorch_conflicts(section: PyTorchConfig, precision: str) -> list[str]:
    """Return why transformers cannot run this combination of values that are valid alone.

    Source: the checks in transformers 5.23 `generation/utils.py` (`_get_candidate_generator`,
    `_assisted_decoding`) and the loaders of its flash attention and bitsandbytes integrations.
    """
    # (condition, reason): transformers refuses the combination or ignores the option.
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
        (section.load_in_4bit and section.load_in_8bit, "load_in_4bit and load_in_8bit cannot"
         " be used together"),
        (offloaded and cpu, "an offloaded cache needs a GPU, not device cpu"),
        (bnb_4bit and not section.load_in_4bit, f"{bnb_4bit} has no effect without load_in_4bit"),
        (compile_options and not section.torch_compile,
         f"{compile_options} has no effect without torch_compile"),
        (section.torch_compile_mode and section.torch_compile_backend not in (None, "inductor"),
         "torch_compile_mode works only with torch_compile_backend inductor"),
        (section.cache_implementation and section.use_cache is False,
         "cache_implementation contradicts use_cache: false"),
        (beam_options and not beams, f"{beam_options} has no effect without num_beams > 1"),
        (section.prompt_lookup_num_tokens and section.assistant_model,
         "prompt_lookup_num_tokens and assistant_model cannot be used together"),
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
    """Return why prefill or decode cannot be measured separately with these values.

    The backend also checks what depends on the model, such as sliding-window attention.
    """
    decode = phase == "decode"
    cache = section.cache_implementation or ""
    rules: list[tuple[Any, str]] = [
        (section.prompt_lookup_num_tokens or section.assistant_model,
         f"the phase {phase} does not work with assisted decoding, which drafts in both phases"),
        (decode and (section.num_beams or 1) > 1,
         "the phase decode does not work with num_beams > 1, which reorders the cache"),
        (decode and section.use_cache is False,
         "the phase decode needs the cache: without it every step processes the prompt again"),
        (decode and cache in ("offloaded", "offloaded_static", "quantized"),
         f"the phase decode does not work with cache_implementation {cache}, which cannot be"
         " restored to an earlier state"),
    ]  # fmt: skip
    return [reason for condition, reason in rules if condition]


def _given(section: PyTorchConfig, *names: str) -> str:
    return " and ".join(name for name in names if getattr(section, name) is not None)
