"""Our operation count agrees with that of torch (RES-12, pitfall 30).

Large models are counted on the `meta` device, where tensors have shapes but no memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from energy.backends.pytorch.counting import count_operations
from energy.models import random_model
from energy.parts import experiment, loaded
from torch.utils.flop_counter import FlopCounterMode

from llem_energy import measure
from llem_energy._backends.pytorch.flops import decoder_of
from llem_energy._model_info.flops import answer_flops
from llem_energy.models import builtin_architecture, builtin_names

# As published, including all experts.
N_PARAMETERS = {
    "qwen-0.5b": 494_032_768,
    "llama-1b": 1_235_814_400,
    "llama-8b": 8_030_261_248,
    "olmoe-7b": 6_919_161_856,
}


def counted(config: Any, n_in: int, n_out: int) -> tuple[float, int]:
    """Return (our count, torch's) of one answer; the model is loaded and answers it."""
    backend = loaded(config)
    batch = backend.prepare([tuple(range(10, 10 + n_in))]).batches[0]
    theirs = count_operations(backend, batch, n_in + n_out - 1)
    flops = backend.flops(n_in, n_out)
    assert flops is not None
    return flops.total, theirs


def answering(model: dict[str, Any], n_in: int, n_out: int, **pytorch: Any) -> Any:
    options = {"batch_size": 1, "attn_implementation": "eager", **pytorch}
    lengths = {"max_input_tokens": n_in, "max_output_tokens": n_out}
    return experiment(**model, **lengths, pytorch=options)


# By default experts run as grouped products, which torch does not count; eager experts it does.
ONE_BY_ONE = {"passthrough_kwargs": {"experts_implementation": "eager"}}


@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (64, 1), (64, 16), (8, 64), (256, 8)])
@pytest.mark.parametrize("name", ["tiny-llama", "tiny-moe"])
def test_operation_count_agrees_with_torch(name: str, n_in: int, n_out: int) -> None:
    model = {"model": f"builtin:{name}", **(ONE_BY_ONE if name == "tiny-moe" else {})}
    ours, theirs = counted(answering(model, n_in, n_out), n_in, n_out)
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_fused_attention_counts_the_same_operations_as_eager_attention() -> None:
    model = {"model": "builtin:tiny-llama"}
    ours, theirs = counted(answering(model, 64, 16, attn_implementation="sdpa"), 64, 16)
    assert ours == pytest.approx(theirs, rel=1e-6)


SMALL = {"vocab_size": 256, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "pad_token_id": 0}  # fmt: skip
EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
ARCHITECTURES: list[dict[str, Any]] = [
    {"model_type": "qwen2"},
    {"model_type": "qwen3", "head_dim": 16},
    {"model_type": "llama", "num_key_value_heads": 1, "tie_word_embeddings": True},
    {"model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2},
    {"model_type": "mistral", "sliding_window": 6},
    {"model_type": "gemma3_text", "sliding_window": 6,
     "layer_types": ["sliding_attention", "full_attention"]},
    {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    {"model_type": "qwen2_moe", **EXPERTS, "shared_expert_intermediate_size": 96,
     "decoder_sparse_step": 1},
    {"model_type": "qwen3_moe", **EXPERTS, "mlp_only_layers": [0]},
    {"model_type": "olmoe", **EXPERTS},
    {"model_type": "gpt_oss", "num_local_experts": 8, "num_experts_per_tok": 2,
     "sliding_window": 6},
    {"model_type": "hrm_text"},  # calls its layers several times
    # They also hold an encoder of images, which a token does not meet.
    {"model_type": "fuyu", "text_config": {"model_type": "persimmon", **SMALL}},
    {"model_type": "gemma3", "text_config": {**SMALL, "num_key_value_heads": 2, "head_dim": 8},
     "vision_config": {**SMALL, "image_size": 28, "patch_size": 14}, "mm_tokens_per_image": 4},
]  # fmt: skip


@pytest.mark.parametrize("shape", ARCHITECTURES, ids=lambda shape: shape["model_type"])
def test_operation_count_is_close_for_common_architectures(
    tmp_path: Path, shape: dict[str, Any]
) -> None:
    experts = ONE_BY_ONE if any("experts" in key for key in shape) else {}
    config = answering({**random_model(tmp_path, **shape), **experts}, 16, 12)
    ours, theirs = counted(config, 16, 12)
    assert ours == pytest.approx(theirs, rel=0.02)


UNKNOWN: list[dict[str, Any]] = [
    {"model_type": "diffllama"},
    {"model_type": "lfm2", "layer_types": ["conv", "full_attention"]},
    {"model_type": "mamba2", "num_heads": 8, "head_dim": 8, "n_groups": 1, "expand": 2},
    {"model_type": "llama4_text", "num_local_experts": 4, "interleave_moe_layer_step": 1},
    {"model_type": "deepseek_v3", "n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 2,
     "topk_group": 1, "moe_intermediate_size": 48, "first_k_dense_replace": 1, "kv_lora_rank": 16,
     "q_lora_rank": 24, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 12,
     "num_key_value_heads": 4},
]  # fmt: skip


@pytest.mark.parametrize("shape", UNKNOWN, ids=lambda shape: shape["model_type"])
def test_an_architecture_with_unknown_parts_has_no_operation_count(
    tmp_path: Path, shape: dict[str, Any]
) -> None:
    backend = loaded(answering(random_model(tmp_path, **shape), 4, 2, attn_implementation=None))
    assert backend.flops(4, 2) is None


@pytest.mark.parametrize("name", sorted(N_PARAMETERS))
def test_builtin_models_have_their_published_size_and_operation_count(name: str) -> None:
    import transformers

    architecture = builtin_architecture(f"builtin:{name}")
    assert architecture is not None
    with torch.device("meta"), torch.inference_mode():
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(**architecture),
            attn_implementation="eager", experts_implementation="batched_mm",
        ).eval()  # fmt: skip
        assert sum(p.numel() for p in model.parameters()) == N_PARAMETERS[name]
        with FlopCounterMode(display=False) as counter:
            prompt = torch.zeros((1, 96), dtype=torch.long)
            cache = model(input_ids=prompt, use_cache=True, logits_to_keep=1).past_key_values
            for _ in range(3):
                model(input_ids=prompt[:, :1], past_key_values=cache)
    decoder = decoder_of(model)
    assert decoder is not None
    ours = answer_flops(decoder, 96, 4).total
    assert ours == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_every_builtin_model_is_covered_here() -> None:
    assert set(builtin_names()) == {*N_PARAMETERS, "tiny-llama", "tiny-moe"}


@pytest.mark.parametrize("n_cached", [0, 1, 40, 63])
def test_tokens_from_a_cache_are_not_counted(n_cached: int) -> None:
    backend = loaded(answering({"model": "builtin:tiny-llama"}, 64, 5))
    prompt = torch.arange(10, 74)[None]
    with torch.inference_mode():
        first = backend._model(input_ids=prompt[:, :n_cached]) if n_cached else None
        cache = first.past_key_values if first else None
        with FlopCounterMode(display=False) as prefill:
            read = backend._model(
                input_ids=prompt[:, n_cached:], past_key_values=cache, use_cache=True,
                logits_to_keep=1,
            )  # fmt: skip
        with FlopCounterMode(display=False) as decode:
            for _ in range(4):
                backend._model(input_ids=prompt[:, :1], past_key_values=read.past_key_values)
    flops = backend.flops(64, 5, n_cached)
    # Some versions also count how rotary embeddings multiply: some millionths.
    assert flops.prefill == pytest.approx(prefill.get_total_flops(), rel=1e-4)
    assert flops.decode == pytest.approx(decode.get_total_flops(), rel=1e-4)
    assert flops.total == flops.prefill + flops.decode


def test_operations_of_the_window_are_the_sum_over_all_prompts() -> None:
    result = measure(experiment(n=5))
    per_prompt = loaded(experiment()).flops(8, 4)
    assert result.flops is not None
    assert result.flops.total == pytest.approx(5 * per_prompt.total)
    assert result.flops.prefill == pytest.approx(5 * per_prompt.prefill)
    assert result.flops.decode == pytest.approx(5 * per_prompt.decode)
