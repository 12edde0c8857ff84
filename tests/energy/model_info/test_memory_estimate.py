"""The memory estimate made before loading is close to the memory that is then used."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.models import SMALL_ARCHITECTURE
from energy.parts import experiment, loaded, merged

from llem_config import ExperimentConfig
from llem_energy import measure
from llem_energy._model_info.architecture import FAMILIES
from llem_energy._prompts.load import load_prompts
from llem_energy.models import MemoryEstimate, builtin_names, estimate_memory

EXPERTS: dict[str, dict[str, Any]] = {
    "mixtral": {"num_local_experts": 3, "num_experts_per_tok": 2},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
}
SHAPES = [
    *({"model_type": name} for name in FAMILIES),
    {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "head_dim": 10},
    {"model_type": "llama", "tie_word_embeddings": True, "num_key_value_heads": None},
    {"model_type": "qwen2", "tie_word_embeddings": True},
    {"model_type": "qwen3_moe", "mlp_only_layers": [1], "decoder_sparse_step": 2},
    {"model_type": "mistral", "sliding_window": 5},
    {"model_type": "mistral", "sliding_window": None},
    {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 5,
        "max_window_layers": 2,
    },
]
shapes = pytest.mark.parametrize(
    "shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values()))
)


def small_model(folder: Path, shape: dict[str, Any], **changes: Any) -> ExperimentConfig:
    """Return an experiment on a small model of this architecture."""
    data = SMALL_ARCHITECTURE | EXPERTS.get(shape["model_type"], {}) | shape
    (folder / "config.json").write_text(json.dumps(data))
    return experiment(model=str(folder), weights="random", **changes)


def estimated(config: ExperimentConfig) -> MemoryEstimate:
    estimate = estimate_memory(config)
    assert estimate is not None
    parts = (estimate.weights_bytes, estimate.cache_bytes, estimate.activations_bytes)
    assert estimate.total_bytes == sum(parts)
    return estimate


def weights_bytes(config: ExperimentConfig) -> int:
    """Return the bytes of the weights that transformers creates, without allocating them."""
    import torch
    import transformers

    from llem_energy._backends.pytorch.loading import DTYPES, load_architecture

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            load_architecture(config), dtype=DTYPES[config.precision]
        )
    return sum(p.numel() * p.element_size() for p in model.parameters())


@pytest.mark.parametrize("name", builtin_names())
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_weights_estimate_of_every_builtin_is_exact(name: str, precision: str) -> None:
    config = experiment(model=f"builtin:{name}", precision=precision)
    assert estimated(config).weights_bytes == weights_bytes(config)


@shapes
def test_the_weights_estimate_of_every_family_is_exact(
    tmp_path: Path, shape: dict[str, Any]
) -> None:
    config = small_model(tmp_path, shape)
    assert estimated(config).weights_bytes == weights_bytes(config)


def cache_bytes(config: ExperimentConfig) -> int:
    """Return the max bytes of the real cache over all steps of all batches."""
    backend = loaded(config)
    sizes_bytes: list[int] = []
    update = backend._model._update_model_kwargs_for_generation

    def watch(outputs: Any, *rest: Any, **more: Any) -> Any:
        layers = outputs.past_key_values.layers
        # The memory of the storage: in a layer with a window, a tensor is a view of a larger storage.
        tensors = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
        sizes_bytes.append(sum(tensor.untyped_storage().nbytes() for tensor in tensors))
        return update(outputs, *rest, **more)

    backend._model._update_model_kwargs_for_generation = watch
    for batch in backend.prepare(load_prompts(config, backend.vocabulary())).batches:
        backend.generate(batch)
    return max(sizes_bytes)


@shapes
def test_the_cache_estimate_of_every_family_is_exact(tmp_path: Path, shape: dict[str, Any]) -> None:
    config = small_model(tmp_path, shape)
    assert estimated(config).cache_bytes == cache_bytes(config)


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 7, "pytorch": {"batch_size": 3}},
        {"n": 2, "pytorch": {"batch_size": 8}},
        {"precision": "bf16"},
        {"max_output_tokens": 1},
        {"pytorch": {"num_beams": 3}},
        {"pytorch": {"cache_implementation": "static"}},
        {"n": 5, "dataset": {"input_tokens": {"distribution": "uniform", "max": 8}}},
    ],
    ids=str,
)
@pytest.mark.parametrize("window", [None, 5])
def test_the_cache_estimate_follows_batch_lengths_precision_and_kind(
    tmp_path: Path, changes: dict[str, Any], window: int | None
) -> None:
    config = small_model(tmp_path, {"model_type": "mistral", "sliding_window": window}, **changes)
    assert estimated(config).cache_bytes == cache_bytes(config)


def allocated_bytes(config: ExperimentConfig) -> int:
    """Return the max bytes that torch's profiler sees allocated while one batch is answered."""
    from torch.profiler import ProfilerActivity, profile

    backend = loaded(config)
    (batch,) = backend.prepare(load_prompts(config, backend.vocabulary())).batches
    backend.generate(batch)  # buffers that are allocated only once do not count
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        backend.generate(batch)
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    max_bytes: int = max(itertools.accumulate(event.nbytes() for event in events))
    return max_bytes


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 4, "max_input_tokens": 256, "pytorch": {"attn_implementation": "eager"}},
        {"n": 4, "max_input_tokens": 256, "pytorch": {"attn_implementation": "sdpa"}},
        {"n": 16, "max_input_tokens": 64, "precision": "bf16"},
        {"n": 16, "max_input_tokens": 16},
        {"n": 2, "max_input_tokens": 256, "model": "builtin:tiny-moe"},
    ],
    ids=str,
)
def test_cache_and_activations_are_near_what_torch_allocates(changes: dict[str, Any]) -> None:
    config = experiment(**merged({"pytorch": {"batch_size": 16}}, changes))
    estimate = estimated(config)
    total_bytes = estimate.cache_bytes + estimate.activations_bytes
    assert total_bytes == pytest.approx(allocated_bytes(config), rel=0.15)


def test_quantisation_draft_model_and_cache_change_the_estimate() -> None:
    def weights(**pytorch: Any) -> int:
        return estimated(experiment(model="builtin:llama-1b", pytorch=pytorch)).weights_bytes

    plain = weights()
    packed = weights(device="cuda", load_in_4bit=True)
    twice = weights(device="cuda", load_in_4bit=True, bnb_4bit_use_double_quant=True)
    assert twice < packed < weights(device="cuda", load_in_8bit=True) < plain
    drafter = weights(batch_size=1, assistant_model="builtin:tiny-llama")
    assert drafter == plain + estimated(experiment()).weights_bytes
    without_cache = experiment(pytorch={"use_cache": False})
    assert estimated(without_cache).cache_bytes == 0


def test_weights_of_an_unknown_family_are_read_from_its_files(
    text_model: Any, tmp_path: Path
) -> None:
    known_family = experiment(model=str(text_model.folder), weights="pretrained")
    shutil.copytree(text_model.folder, tmp_path / "model")
    data = json.loads((text_model.folder / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**data, "model_type": "new"}))
    unknown_family = experiment(model=str(tmp_path / "model"), weights="pretrained")
    assert estimated(unknown_family) == estimated(known_family)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"damaged")
    assert estimate_memory(unknown_family) is None


@pytest.mark.parametrize(
    "content", ["{}", "[]", "{", '{"model_type": "llama", "hidden_size": "many"}']
)
def test_an_incomplete_configuration_gives_no_estimate(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert estimate_memory(experiment(model=str(tmp_path), weights="random")) is None
    assert estimate_memory(experiment(model="someone/absent", weights="pretrained")) is None


def test_the_result_has_the_estimated_and_the_peak_memory() -> None:
    result = measure(experiment())
    assert result.memory_estimate == estimate_memory(experiment())
    assert result.memory_estimate is not None
    assert result.peak_memory_bytes is not None
    assert result.weights_memory_bytes is not None
    assert result.rest_memory_bytes == result.peak_memory_bytes - result.weights_memory_bytes
    # Besides the weights only small buffers, such as the rotary frequencies.
    assert 0 <= result.weights_memory_bytes - result.memory_estimate.weights_bytes < 1000
