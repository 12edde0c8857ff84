"""The fields of an experiment, their defaults, limits and the combinations that cannot run.

Covers CFG-01 to CFG-10, and pitfall 29: greedy decoding and equal lengths by default.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from llem_config import (
    BACKENDS,
    DECODING_SUPPORT,
    PRECISION_SUPPORT,
    DecoderConfig,
    ExperimentConfig,
)


def experiment(**fields: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate({"model": "m", **fields})


def reason(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        experiment(**fields)
    (error,) = caught.value.errors()
    assert error["type"] == "llem_incompatible"
    return error["msg"]


def test_only_the_model_is_required_and_the_defaults_are_the_specified_ones() -> None:
    assert experiment().model_dump(exclude_none=True) == {
        "model": "m",
        "weights": "pretrained",
        "backend": "pytorch",
        "precision": "bf16",
        "dataset": {"source": "synthetic"},
        "n": 100,
        "max_input_tokens": 512,
        "max_output_tokens": 128,
        "random_seed": 42,
        "decoder": {"temperature": 0.0, "do_sample": False, "ignore_eos": True},
        "warmup": {
            "enabled": True,
            "n_warmup": 5,
            "convergence_detection": True,
            "cv_threshold": 0.02,
            "max_warmup": 50,
            "max_warmup_seconds": 300.0,
            "thermal_floor_seconds": 0.0,
        },
        "baseline": {"enabled": True, "duration_seconds": 10.0},
        "energy": {
            "sources": ("nvml", "rapl"),
            "sample_period_seconds": 0.05,
            "min_window_seconds": 10.0,
            "estimate": True,
        },
    }


def test_builtin_models_have_random_weights_by_default() -> None:
    assert experiment(model="builtin:tiny-llama").weights == "random"
    assert experiment(weights="random").weights == "random"


def test_a_dataset_given_as_text_is_its_source() -> None:
    assert experiment(dataset="a.csv").dataset == experiment(dataset={"source": "a.csv"}).dataset


def test_every_backend_field_is_unset_by_default() -> None:
    for name in BACKENDS:
        section = getattr(experiment(backend=name, precision="bf16", **{name: {}}), name)
        assert set(section.model_dump().values()) == {None}


def test_an_experiment_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        experiment().n = 3


WRONG: list[dict[str, Any]] = [
    {"model": ""},
    {"unknown": 1},
    {"weights": "none"},
    {"backend": "cuda"},
    {"precision": "int8"},
    {"dataset": {"source": ""}},
    {"n": 0},
    {"max_input_tokens": 0},
    {"max_output_tokens": 0},
    {"random_seed": -1},
    {"random_seed": 2**32},
    {"decoder": {"temperature": -0.1}},
    {"decoder": {"top_k": 0}},
    {"decoder": {"top_p": 1.1}},
    {"decoder": {"top_p": 0}},
    {"decoder": {"min_p": 1.1}},
    {"decoder": {"repetition_penalty": 0}},
    {"decoder": {"min_new_tokens": 0}},
    {"decoder": {"preset": "wild"}},
    {"decoder": {"ignore_eos": "yes"}},
    {"warmup": {"n_warmup": 0}},
    {"warmup": {"cv_threshold": 0}},
    {"warmup": {"max_warmup_seconds": 0}},
    {"warmup": {"thermal_floor_seconds": -1}},
    {"baseline": {"duration_seconds": 0}},
    {"energy": {"sources": []}},
    {"energy": {"sources": ["zeus"]}},
    {"energy": {"sample_period_seconds": 0.0001}},
    {"energy": {"min_window_seconds": -1}},
    {"energy": {"phases": []}},
    {"energy": {"phases": ["load"]}},
    {"energy": {"phases": ["decode", "decode"]}},
    {"pytorch": {"batch_size": 0}},
    {"pytorch": {"batching": "dynamic"}},
    {"pytorch": {"device": "mps"}},
    {"pytorch": {"attn_implementation": "flash"}},
    {"pytorch": {"torch_compile": 1}},
    {"pytorch": {"num_beams": 0}},
    {"pytorch": {"max_memory": {"0": "lots"}}},
    {"pytorch": {"trust_remote_code": "true"}},
    {"backend": "vllm", "vllm": {"gpu_memory_utilization": 0.05}},
    {"backend": "vllm", "vllm": {"quantization": "int8_sq"}},
    {"backend": "tensorrt", "tensorrt": {"quantization": "awq"}},
    {"lora": {}},
    {"vllm": {}},
    {"passthrough_kwargs": {"n": 1}},
    {"passthrough_kwargs": {"batch_size": 1}},
    {"backend": "vllm", "passthrough_kwargs": {"block_size": 1}},
    {"passthrough_kwargs": {"x": float("nan")}},
    {"passthrough_kwargs": {"x": {1, 2}}},
    {"model": "builtin:tiny-llama", "weights": "pretrained"},
]


@pytest.mark.parametrize("fields", WRONG, ids=str)
def test_an_invalid_value_is_a_mistake_and_not_incompatible(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        experiment(**fields)
    assert all(error["type"] != "llem_incompatible" for error in caught.value.errors())


def test_keys_of_free_form_values_become_text() -> None:
    config = experiment(
        pytorch={"device_map": "auto", "max_memory": {0: "1GiB", "cpu": "2GB"}},
        passthrough_kwargs={"a": {0: (1, 2)}},
    )
    assert config.pytorch is not None
    assert config.pytorch.max_memory == {"0": "1GiB", "cpu": "2GB"}
    assert config.passthrough_kwargs == {"a": {"0": [1, 2]}}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_a_backend_accepts_exactly_its_supported_precisions(backend: str, precision: str) -> None:
    if precision in PRECISION_SUPPORT[backend]:
        assert experiment(backend=backend, precision=precision).precision == precision
    else:
        why = f"{backend} does not support {precision}"
        assert reason(backend=backend, precision=precision) == why


def test_the_support_tables_have_the_specified_values() -> None:
    assert PRECISION_SUPPORT == {
        "pytorch": ("fp32", "fp16", "bf16"),
        "vllm": ("fp16", "bf16"),
        "tensorrt": ("fp16", "bf16"),
    }
    assert DECODING_SUPPORT == {
        "pytorch": ("greedy", "sampling", "beam"),
        "vllm": ("greedy", "sampling", "beam"),
        "tensorrt": ("greedy", "sampling"),
    }


def test_the_decoding_method_follows_from_decoder_and_beams() -> None:
    assert experiment().decoding == "greedy"
    assert experiment(decoder={"top_k": 3}).decoding == "sampling"
    assert experiment(pytorch={"num_beams": 1}).decoding == "greedy"
    assert experiment(pytorch={"num_beams": 2}).decoding == "beam"


@pytest.mark.parametrize(
    ("fields", "temperature", "do_sample"),
    [
        ({}, 0.0, False),
        ({"temperature": 0.5}, 0.5, True),
        ({"do_sample": True}, 1.0, True),
        ({"do_sample": False}, 0.0, False),
        ({"top_p": 0.9}, 1.0, True),
        ({"do_sample": False, "top_k": 5}, 0.0, False),
        ({"preset": "deterministic"}, 0.0, False),
        ({"preset": "standard"}, 1.0, True),
        ({"preset": "creative"}, 0.8, True),
        ({"preset": "creative", "temperature": 0.2}, 0.2, True),
        ({"preset": None}, 0.0, False),
    ],
)
def test_missing_fields_of_a_decoder_follow_from_the_others(
    fields: dict[str, Any], temperature: float, do_sample: bool
) -> None:
    decoder = DecoderConfig.model_validate(fields)
    assert (decoder.temperature, decoder.do_sample) == (temperature, do_sample)


CANNOT_RUN: list[tuple[dict[str, Any], str]] = [
    ({"attn_implementation": "flash_attention_2", "device": "cpu"}, "needs a GPU"),
    ({"load_in_4bit": True, "load_in_8bit": True}, "cannot be used together"),
    ({"bnb_4bit_quant_type": "nf4"}, "no effect without load_in_4bit"),
    ({"torch_compile_mode": "default"}, "no effect without torch_compile"),
    ({"cache_implementation": "static", "use_cache": False}, "contradicts use_cache"),
    ({"length_penalty": 0.5}, "no effect without num_beams > 1"),
    ({"prompt_lookup_num_tokens": 3, "assistant_model": "a"}, "cannot be used together"),
    ({"prompt_lookup_num_tokens": 3, "num_beams": 2}, "does not work with num_beams"),
    ({"prompt_lookup_num_tokens": 3, "cache_implementation": "static"}, "static cache"),
    ({"prompt_lookup_num_tokens": 3, "use_cache": False}, "needs the cache"),
    ({"prompt_lookup_num_tokens": 3, "batch_size": 2}, "needs batch_size 1"),
    ({"max_memory": {"0": "1GB"}}, "no effect without device_map"),
    ({"device_map": "auto", "device": "cpu"}, "contradicts device cpu"),
]


@pytest.mark.parametrize(("section", "why"), CANNOT_RUN, ids=str)
def test_a_combination_that_pytorch_cannot_run_is_incompatible(
    section: dict[str, Any], why: str
) -> None:
    assert why in reason(pytorch=section)


NO_PHASE: list[tuple[str, dict[str, Any], str]] = [
    ("decode", {"num_beams": 2}, "decode does not work with num_beams > 1"),
    ("decode", {"use_cache": False}, "decode needs the cache"),
    ("decode", {"cache_implementation": "quantized"}, "cannot be restored to an earlier state"),
    ("decode", {"cache_implementation": "offloaded"}, "cannot be restored to an earlier state"),
    ("decode", {"prompt_lookup_num_tokens": 3}, "decode does not work with assisted decoding"),
    ("prefill", {"assistant_model": "a"}, "prefill does not work with assisted decoding"),
]


@pytest.mark.parametrize(("phase", "section", "why"), NO_PHASE, ids=str)
def test_a_phase_that_cannot_be_measured_separately_is_incompatible(
    phase: str, section: dict[str, Any], why: str
) -> None:
    assert why in reason(pytorch=section, energy={"phases": [phase]})
    assert experiment(pytorch=section).energy.phases is None


def test_a_decode_phase_needs_a_second_token() -> None:
    both = {"phases": ["prefill", "decode"]}
    assert "decode needs max_output_tokens >= 2" in reason(max_output_tokens=1, energy=both)
    prefill = experiment(max_output_tokens=1, energy={"phases": ["prefill"]})
    assert prefill.energy.phases == ("prefill",)


def test_phases_are_sorted_in_the_order_of_an_answer() -> None:
    assert experiment(energy={"phases": ["decode", "prefill"]}).energy.phases == (
        "prefill",
        "decode",
    )


@pytest.mark.parametrize(("section", "why"), CANNOT_RUN, ids=str)
def test_each_value_of_an_incompatible_pair_is_valid_alone(
    section: dict[str, Any], why: str
) -> None:
    for name, value in section.items():
        try:
            experiment(pytorch={name: value})
        except ValidationError as error:
            assert {item["type"] for item in error.errors()} == {"llem_incompatible"}


def test_other_combinations_that_cannot_run_are_incompatible() -> None:
    flash = {"attn_implementation": "flash_attention_2"}
    assert "not fp32" in reason(precision="fp32", pytorch=flash)
    assert "contradicts temperature 0.5" in reason(decoder={"temperature": 0.5, "do_sample": False})
    assert "is above max_output_tokens 8" in reason(
        max_output_tokens=8, decoder={"min_new_tokens": 9}
    )
    assert reason(warmup={"n_warmup": 60}) == "max_warmup 50 is below n_warmup 60"


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"input_tokens": {"distribution": "lognormal", "mean": 9.0}}, "needs mean and sd"),
        ({"input_tokens": {"distribution": "uniform", "sd": 9.0}}, "no sd"),
        ({"input_tokens": {"distribution": "uniform", "min": 9, "max": 8}}, "9 is above max 8"),
        ({"input_tokens": {"distribution": "uniform", "max": 513}}, "above max_input_tokens 512"),
        ({"input_tokens": {"distribution": "uniform", "min": 513}}, "above max_input_tokens 512"),
        (
            {"source": "a/b", "input_tokens": {"distribution": "uniform"}},
            "no effect on the data set a/b",
        ),
        ({"split": "test", "column": "text"}, "column and split have no effect"),
    ],
)
def test_lengths_and_columns_that_contradict_each_other_are_incompatible(
    dataset: dict[str, Any], message: str
) -> None:
    assert message in reason(dataset=dataset)


@pytest.mark.parametrize("name", ["token", "use_auth_token"])
def test_an_access_token_in_a_file_is_a_mistake(name: str) -> None:
    with pytest.raises(ValidationError, match="set the environment variable HF_TOKEN") as caught:
        experiment(passthrough_kwargs={name: "hf_secret"})
    assert "hf_secret" not in caught.value.errors()[0]["msg"]
