"""The options that need a GPU, observed on a GPU; see `test_every_field.py`."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from energy.models import text_experiment
from energy.parts import loaded

from llem_energy import BackendError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


def on_gpu(model: Any, **options: Any) -> Any:
    """Return a loaded backend in bf16 with these options."""
    return loaded(text_experiment(model, precision="bf16", pytorch={"device": "auto", **options}))


def packed(model: Any, **options: Any) -> list[Any]:
    """Return the layers that bitsandbytes replaced, after one answer."""
    pytest.importorskip("bitsandbytes")
    backend = on_gpu(model, **options)
    backend.generate(*backend.prepare([(10, 11, 12)]).batches)
    return [m for m in backend._model.modules() if type(m).__module__.startswith("bitsandbytes")]


def test_4_bit_weights_are_packed_as_requested(text_model: Any) -> None:
    for dtype, kind, double in (("bfloat16", "nf4", True), ("float32", "fp4", False)):
        options = {
            "load_in_4bit": True,
            "bnb_4bit_compute_dtype": dtype,
            "bnb_4bit_quant_type": kind,
            "bnb_4bit_use_double_quant": double,
        }
        layers = packed(text_model, **options)
        assert {type(layer).__name__ for layer in layers} == {"Linear4bit"}
        assert {layer.weight.dtype for layer in layers} == {torch.uint8}
        assert layers[0].compute_dtype == getattr(torch, dtype)
        assert layers[0].weight.quant_state.quant_type == kind
        assert layers[0].weight.quant_state.nested is double


def test_8_bit_weights_are_packed_as_requested(text_model: Any) -> None:
    layers = packed(text_model, load_in_8bit=True)
    assert {type(layer).__name__ for layer in layers} == {"Linear8bitLt"}
    assert {layer.weight.dtype for layer in layers} == {torch.int8}


def test_the_device_is_the_gpu(text_model: Any) -> None:
    model = on_gpu(text_model, device="cuda")._model
    assert {parameter.device for parameter in model.parameters()} == {torch.device("cuda", 0)}


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is None, reason="needs flash-attn")
def test_flash_attention_runs_the_flash_kernel(text_model: Any) -> None:
    options = {"device": "cuda", "attn_implementation": "flash_attention_2", "batch_size": 1}
    config = text_experiment(text_model, precision="bf16", n=1, pytorch=options)
    backend = loaded(config)
    (batch,) = backend.prepare([(10, 11, 12)]).batches
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        backend.generate(batch)
        torch.cuda.synchronize()
    assert any("flash" in event.key for event in profile.key_averages())


@pytest.mark.parametrize("kind", ["offloaded", "offloaded_static"])
def test_an_offloaded_cache_is_kept_in_host_memory(text_model: Any, kind: str) -> None:
    backend = on_gpu(text_model, cache_implementation=kind)
    caches: list[Any] = []
    backend._model.register_forward_hook(
        lambda *arguments: caches.append(arguments[-1].past_key_values)
    )
    backend.generate(*backend.prepare([(10, 11, 12)]).batches)
    assert {cache.offloading for cache in caches} == {True}
    assert any(layer.keys.device.type == "cpu" for layer in caches[-1].layers)


def test_the_library_compiles_a_static_cache_unless_torch_compile_is_false(text_model: Any) -> None:
    static = {"cache_implementation": "static", "batch_size": 1}
    for option, compiled in ((None, True), (False, False)):
        backend = on_gpu(text_model, torch_compile=option, **static)
        backend.generate(*backend.prepare([(10, 11, 12)]).batches)
        assert (backend.compilations() > 0) is compiled
        backend.close()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_device_map_spreads_the_model_over_the_gpus(text_model: Any) -> None:
    model = on_gpu(text_model, device_map="balanced")._model
    assert {parameter.device.index for parameter in model.parameters()} == {0, 1}


def test_max_memory_moves_layers_to_the_cpu_only_if_it_is_listed(text_model: Any) -> None:
    small = {"0": "60KB", "cpu": "1GB"}
    model = on_gpu(text_model, device_map="auto", max_memory=small)._model
    assert "cpu" in {str(place) for place in model.hf_device_map.values()}
    with pytest.raises(BackendError, match="requested device_map to use GPUs, found"):
        on_gpu(text_model, device_map="auto", max_memory={"0": "60KB"})
