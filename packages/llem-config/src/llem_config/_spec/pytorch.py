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
    """Number of prompts per call of `generate`; 1 by default. The last batch may have fewer.

    Energy: a step reads the weights once for the whole batch, so joules per token usually fall with
    it until computation, not memory, is the limit.
    """
    batching: Literal["static", "sorted"] | None = None
    """`static`, the default: prompts in the order of the data set; `sorted`: by length, the longest
    first.

    Energy: prompts of similar length need less padding, which is computed like real tokens. No
    effect if all prompts have the same length.
    """
    device: Literal["auto", "cuda", "cpu"] | None = None
    """`auto`, the default: the GPU if there is one; `cuda`: a GPU, and an error without one; `cpu`:
    the processor.

    Energy: depends on the device in every part. On `cpu` the processor is metered, if its counters
    can be read.
    """
    attn_implementation: (
        Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"] | None
    ) = None
    """The attention kernel. By default the library's choice for the model, usually `sdpa`.
    `flash_attention_2` and `flash_attention_3` need a GPU, their packages, and fp16 or bf16.

    Energy: fused kernels do not store the matrix of all pairs of tokens, which matters more the
    longer the prompts are.
    """
    torch_compile: bool | None = None
    """Whether torch compiles the model's forward pass; false by default. Compilation happens in the
    warm-up.

    Energy: fused kernels move fewer bytes and launch less often; the gain is largest for small
    batches. Compilation itself is not part of the measured energy.
    """
    torch_compile_mode: (
        Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] | None
    ) = None
    """Mode of torch's compiler; `default` by default. Needs `torch_compile: true`.

    Energy: `reduce-overhead` records CUDA graphs, which saves launches; the `max-autotune` modes
    search for faster kernels and warm up longer.
    """
    torch_compile_backend: str | None = None
    """Compiler of torch; `inductor` by default. Needs `torch_compile: true`.

    Energy: decides which kernels run.
    """
    cache_implementation: (
        Literal["dynamic", "static", "offloaded", "offloaded_static", "quantized"] | None
    ) = None
    """The cache of keys and values. By default the library's choice, a cache that grows. `static`
    has its full size from the start; on a GPU the library then compiles decoding unless
    `torch_compile` is set. `offloaded` and `offloaded_static` keep it in host memory and need a
    GPU; `quantized` stores fewer bits.

    Energy: moving the cache to the host costs time and energy; a static cache allows compilation,
    but attention may read unused places.
    """
    use_cache: bool | None = None
    """Whether keys and values of earlier tokens are kept; true by default.

    Energy: without the cache, each step computes all earlier tokens again.
    """
    load_in_4bit: bool | None = None
    """Whether bitsandbytes stores the weights in 4 bits; false by default.

    Energy: fewer bytes are read per step, but weights are unpacked before they are used: it saves
    memory, and not always energy.
    """
    load_in_8bit: bool | None = None
    """Whether bitsandbytes stores the weights in 8 bits; false by default.

    Energy: fewer bytes are read per step, but outliers are computed separately: it saves memory,
    and not always energy.
    """
    bnb_4bit_compute_dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """Type in which 4-bit weights are computed; `float32` by default. Needs `load_in_4bit: true`.

    Energy: 16-bit types use the faster units of a GPU.
    """
    bnb_4bit_quant_type: Literal["fp4", "nf4"] | None = None
    """Data type of 4-bit weights, `fp4` by default. Needs `load_in_4bit: true`.

    Energy: little; both have 4 bits.
    """
    bnb_4bit_use_double_quant: bool | None = None
    """Whether the scales of 4-bit weights are quantised too; false by default. Needs `load_in_4bit:
    true`.

    Energy: slightly fewer bytes, one more operation to unpack them.
    """
    num_beams: Count | None = None
    """Number of beams of beam search; 1, no beam search, by default.

    Energy: each beam is computed like a sequence of its own, so joules per output token grow with
    the number.
    """
    early_stopping: bool | Literal["never"] | None = None
    """When beam search ends: `true` as soon as there are enough finished outputs, `false` (the
    default) when better ones are unlikely, `never` when they are impossible. Needs `num_beams`
    above 1; has an effect only with `decoder.ignore_eos: false`.

    Energy: an earlier end means fewer steps.
    """
    length_penalty: Annotated[float, Field(ge=-1000, le=1000)] | None = None
    """Exponent of the length by which the score of a beam is divided, no unit; 1.0 by default.
    Above 0 prefers longer outputs. Needs `num_beams` above 1.

    Energy: only through the lengths of outputs, with `decoder.ignore_eos: false`.
    """
    no_repeat_ngram_size: Count | None = None
    """Length in tokens of the sequences that may not occur twice; no limit by default.

    Energy: a search through earlier tokens on the CPU in each step, which grows with length and
    batch.
    """
    prompt_lookup_num_tokens: Count | None = None
    """Number of tokens that are drafted in each step by copying from the prompt; none by default.
    Needs batch size 1 and a cache that grows.

    Energy: a draft that is right saves steps of the model, one that is wrong wastes its
    computation. With random prompts few drafts are right.
    """
    assistant_model: Annotated[str | None, PathField(), KNOWN_BUILTIN] = None
    """A smaller model that drafts tokens: a hub id, a local folder or `builtin:NAME`; none by
    default. Needs batch size 1.

    Energy: a draft that is right saves steps of the large model; the small model costs energy in
    each draft.
    """
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = None
    """How the model is spread over several GPUs (and the CPU); by default it is on one. Needs a
    GPU.

    Energy: GPUs that wait for each other draw idle power, and all visible GPUs are metered.
    """
    max_memory: Annotated[dict[str, Size] | None, PlainDict] = None
    """Maximum memory per device with its unit, e.g. `{0: 20GiB, cpu: 60GiB}`; no limit by default.
    Needs `device_map`.

    Energy: layers that do not fit on GPUs run slowly from host memory.
    """
    revision: str | None = None
    """Branch, tag or commit of a model on the hub; `main` by default.

    Energy: only if the weights or the architecture differ.
    """
    trust_remote_code: bool | None = None
    """Whether code that comes with the model may run; false by default. The result has a warning.

    Energy: that code may compute the model in another way.
    """
    use_safetensors: bool | None = None
    """true, the default, reads weights from safetensors files only; false also reads the model's
    pickle files, which can run code.

    Energy: none.
    """


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
