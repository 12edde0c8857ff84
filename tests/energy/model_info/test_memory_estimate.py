"""The memory of an experiment is estimated before loading, and is close to what it then takes."""

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
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda one: "-".join(map(str, one.values())))


def of(folder: Path, shape: dict[str, Any], **changes: Any) -> ExperimentConfig:
    """Return an experiment on a small architecture of its own."""
    data = SMALL_ARCHITECTURE | EXPERTS.get(shape["model_type"], {}) | shape
    (folder / "config.json").write_text(json.dumps(data))
    return experiment(model=str(folder), weights="random", **changes)


def estimated(config: ExperimentConfig) -> MemoryEstimate:
    found = estimate_memory(config)
    assert found is not None
    assert found.total_bytes == (found.weights_bytes + found.cache_bytes + found.activations_bytes)
    return found


def weights_bytes(config: ExperimentConfig) -> int:
    """Return the bytes of the model that transformers makes, without memory for it."""
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
    config = of(tmp_path, shape)
    assert estimated(config).weights_bytes == weights_bytes(config)


def cache_bytes(config: ExperimentConfig) -> int:
    """Return the most bytes that the cache really holds after any step of any batch."""
    backend = loaded(config)
    held: list[int] = []
    take = backend._model._update_model_kwargs_for_generation

    def watch(outputs: Any, *rest: Any, **more: Any) -> Any:
        layers = outputs.past_key_values.layers
        # The memory behind the tensors: a layer with a window keeps views of more.
        tensors = [one for layer in layers for one in (layer.keys, layer.values)]
        held.append(sum(one.untyped_storage().nbytes() for one in tensors))
        return take(outputs, *rest, **more)

    backend._model._update_model_kwargs_for_generation = watch
    for batch in backend.prepare(load_prompts(config, backend.vocabulary())).batches:
        backend.generate(batch)
    return max(held)


@shapes
def test_the_cache_estimate_of_every_family_is_exact(tmp_path: Path, shape: dict[str, Any]) -> None:
    config = of(tmp_path, shape)
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
    config = of(tmp_path, {"model_type": "mistral", "sliding_window": window}, **changes)
    assert estimated(config).cache_bytes == cache_bytes(config)


def allocated_bytes(config: ExperimentConfig) -> int:
    """Return the most that torch allocates while one batch is answered, told by its profiler."""
    from torch.profiler import ProfilerActivity, profile

    backend = loaded(config)
    (batch,) = backend.prepare(load_prompts(config, backend.vocabulary())).batches
    backend.generate(batch)  # what is made once and kept is not of this answer
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        backend.generate(batch)
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    most: int = max(itertools.accumulate(event.nbytes() for event in events))
    return most


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
    found = estimated(config)
    estimate = found.cache_bytes + found.activations_bytes
    assert estimate == pytest.approx(allocated_bytes(config), rel=0.15)


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
    known = experiment(model=str(text_model.folder), weights="pretrained")
    shutil.copytree(text_model.folder, tmp_path / "model")
    data = json.loads((text_model.folder / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**data, "model_type": "new"}))
    unknown = experiment(model=str(tmp_path / "model"), weights="pretrained")
    assert estimated(unknown) == estimated(known)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"damaged")
    assert estimate_memory(unknown) is None


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
    # Besides the weights only a few buffers, such as the frequencies of the positions.
    assert 0 <= result.weights_memory_bytes - result.memory_estimate.weights_bytes < 1000
