"""The cache of a model with several kinds of layers: each kind has its own size, or it is unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from energy.models import SMALL_ARCHITECTURE
from energy.parts import experiment, loaded

from llem_config import ExperimentConfig
from llem_energy._model_info.architecture import Architecture, architecture_of
from llem_energy._prompts.load import load_prompts
from llem_energy.models import estimate_memory

LINEAR = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 12, "linear_conv_kernel_dim": 3, "head_dim": 8,
}  # fmt: skip
EXPERTS = {
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 24,
}  # fmt: skip


def of(folder: Path, **changes: Any) -> ExperimentConfig:
    """Return an experiment on a small hybrid model with stored weights."""
    import transformers

    precision = changes.pop("precision", "fp32")
    options = changes.pop("pytorch", {})
    shape = transformers.AutoConfig.for_model(**SMALL_ARCHITECTURE | LINEAR | EXPERTS | changes)
    transformers.AutoModelForCausalLM.from_config(shape).save_pretrained(folder)
    return experiment(model=str(folder), weights="pretrained", precision=precision, pytorch=options)


def cache_bytes(config: ExperimentConfig) -> int:
    """Return the max bytes of all tensors in the cache after a generation."""
    backend = loaded(config)
    sizes: list[int] = []
    update = backend._model._update_model_kwargs_for_generation

    def watch(outputs: Any, *rest: Any, **more: Any) -> Any:
        sizes.append(sum(map(_layer_bytes, outputs.past_key_values.layers)))
        return update(outputs, *rest, **more)

    backend._model._update_model_kwargs_for_generation = watch
    for batch in backend.prepare(load_prompts(config, backend.vocabulary())).batches:
        backend.generate(batch)
    return max(sizes)


def _layer_bytes(layer: Any) -> int:
    names = ("keys", "values", "conv_states", "recurrent_states")
    parts = [getattr(layer, name, None) for name in names]
    tensors = [t for part in parts for t in (part.values() if isinstance(part, dict) else [part])]
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model_type", ["qwen3_next", "qwen3_5_text", "olmo_hybrid"])
def test_the_cache_and_the_recurrent_states_of_a_hybrid_are_exact(
    tmp_path: Path, model_type: str, precision: str
) -> None:
    config = of(tmp_path, model_type=model_type, precision=precision)
    estimate = estimate_memory(config)
    assert estimate is not None
    assert estimate.cache_bytes == cache_bytes(config)


def sizes_of(**data: Any) -> Architecture | None:
    return architecture_of(SMALL_ARCHITECTURE | data)


def test_the_kinds_of_layers_are_read_from_any_key(tmp_path: Path) -> None:
    """Of 6 layers, the third and the sixth attend to all positions."""
    linear, full = "linear_attention", "full_attention"
    listed = [linear, linear, full, linear, linear, full]
    stated: list[dict[str, Any]] = [
        {"layer_types": listed},
        {"layers_block_type": listed},
        {"full_attention_interval": 3},
    ]
    found = [sizes_of(**LINEAR, **keys) for keys in stated]
    assert found[0] is not None
    assert found[0].windows == (None, None)
    assert found[0].n_recurrent_layers == 4
    assert found == [found[0]] * 3
    windows = sizes_of(
        sliding_window=7,
        attention_chunk_size=9,
        layer_types=["sliding_attention", full, "chunked_attention"] * 2,
    )
    assert windows is not None
    assert windows.windows == (7, None, 9) * 2


@pytest.mark.parametrize(
    "keys",
    [
        {"layer_types": ["linear_attention", "full_attention"] * 3},  # without sizes of the state
        {"layer_types": ["conv", "full_attention"] * 3},
        {"layer_types": ["hybrid"] * 6},
        {"layer_types": ["compressed_sparse_attention"] * 6},
        {"layer_types": ["full_attention"]},
        {"attn_layer_indices": [2], "mamba_d_state": 16},
        {"attn_layer_period": 3, "attn_layer_offset": 1},
        {"block_types": ["recurrent", "recurrent", "attention"]},
        {"hybrid_override_pattern": "M-M*M-"},
        {"mamba_n_heads": 4},
        {"conv_L_cache": 3},
        LINEAR,  # which layers are linear is not stated
    ],
    ids=str,
)
def test_layers_whose_cache_is_unknown_give_no_estimate(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    assert sizes_of(**keys) is None
    (tmp_path / "config.json").write_text(json.dumps({**SMALL_ARCHITECTURE, **keys}))
    assert estimate_memory(experiment(model=str(tmp_path), weights="random")) is None


def test_keys_that_are_null_state_nothing() -> None:
    plain = sizes_of(model_type="llama")
    assert plain is not None
    assert sizes_of(model_type="llama", layer_types=None, attn_layer_indices=None) == plain
