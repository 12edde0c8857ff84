"""PyTorch runs with the requested options, or the run fails (CM-17..25, CM-29)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from energy.models import text_experiment
from energy.parts import answers, checked, experiment, loaded

from llem_energy import BackendError, measure
from llem_energy._prompts.load import load_prompts


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")]
)
@pytest.mark.parametrize("weights", ["random", "pretrained"])
def test_precision_reaches_the_weights(
    text_model: Any, precision: str, dtype: str, weights: str
) -> None:
    backend = loaded(text_experiment(text_model, precision=precision, weights=weights))
    kinds = {str(p.dtype) for p in backend._model.parameters()}
    assert kinds == {f"torch.{dtype}"}
    assert backend.effective_config()["dtype"] == dtype


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_the_requested_one(attention: str) -> None:
    backend = loaded(experiment(pytorch={"attn_implementation": attention}))
    assert backend.effective_config()["attn_implementation"] == attention


@pytest.mark.skipif(torch.cuda.is_available(), reason="it may be installed")
def test_attention_that_is_not_installed_is_refused() -> None:
    options = {"device": "auto", "attn_implementation": "flash_attention_2"}
    with pytest.raises(BackendError, match="flash_attention_2 needs a GPU, but there is none"):
        loaded(experiment(precision="bf16", pytorch=options))


def test_decoder_options_reach_the_generation(text_model: Any) -> None:
    decoder = {
        "temperature": 0.7,
        "top_k": 5,
        "top_p": 0.9,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
    }
    used = loaded(text_experiment(text_model, decoder=decoder)).effective_config()["generation"]
    assert used | decoder == used
    assert used["do_sample"] is True


def test_the_models_generation_config_has_no_effect(text_model: Any) -> None:
    greedy = loaded(text_experiment(text_model)).effective_config()["generation"]
    untouched = {
        "do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0,
        "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "max_new_tokens": 12,
        "pad_token_id": 0, "bos_token_id": 1,
    }  # fmt: skip
    assert greedy | untouched == greedy
    assert "eos_token_id" not in greedy
    # At this temperature all tokens are equally likely; top_k 7 and top_p 0.5 would leave few.
    hot = text_experiment(text_model, n=1, max_output_tokens=200, decoder={"temperature": 1000.0})
    ((_, tokens),) = answers(hot)
    assert len(set(tokens)) > 30


def test_token_counts_with_beams_are_exact_and_operations_are_not_counted() -> None:
    result = measure(experiment(n=5, pytorch={"num_beams": 3, "length_penalty": 0.5}))
    assert result.output_tokens == 5 * 4
    assert result.flops is None
    assert result.effective_config["generation"]["num_beams"] == 3


def test_token_counts_with_prompt_lookup_are_exact_and_times_are_missing() -> None:
    changes = {"batch_size": 1, "prompt_lookup_num_tokens": 3}
    result = measure(experiment(max_output_tokens=16, pytorch=changes))
    assert result.output_tokens == 3 * 16
    assert result.time_to_first_token is None
    assert result.flops is None


def test_a_draft_model_changes_only_the_speed(text_model: Any, alone: Any) -> None:
    changes = {"batch_size": 1, "assistant_model": str(text_model.folder)}
    config = text_experiment(text_model, pytorch=changes)
    assert [n for ns, _ in answers(config) for n in ns] == [12] * 7
    assert [tokens for _, tokens in answers(config)] == alone(12, None)


@pytest.mark.parametrize("option", [{"cache_implementation": "static"}, {"use_cache": False}])
def test_the_cache_changes_no_answer(text_model: Any, alone: Any, option: dict[str, Any]) -> None:
    generated = answers(text_experiment(text_model, pytorch={"batch_size": 1, **option}))
    assert [tokens for _, tokens in generated] == alone(12, None)


def test_a_compiled_model_gives_the_same_answer(text_model: Any, alone: Any) -> None:
    options = {"batch_size": 7, "torch_compile": True, "torch_compile_backend": "eager"}
    config = text_experiment(text_model, pytorch=options)
    backend = loaded(config)
    (batch,) = backend.prepare(load_prompts(config, backend.vocabulary())).batches
    assert backend.generate(batch)._ids.tolist() == alone(12, None)
    assert backend.effective_config()["compiled"] is True


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_runs_with_the_default_compiler(text_model: Any) -> None:
    result = measure(
        text_experiment(text_model, n=1, max_output_tokens=2, pytorch={"torch_compile": True})
    )
    assert result.output_tokens == 2
    assert result.effective_config["compiled"] is True


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_an_error_and_never_a_fallback() -> None:
    with pytest.raises(BackendError, match="torch finds no GPU"):
        measure(experiment(pytorch={"device": "cuda"}))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="nowhere"):
        measure(experiment(model=str(tmp_path / "nowhere"), weights="pretrained"))


def test_damaged_weights_are_refused(text_model: Any, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(text_model.folder, folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BackendError, match="cannot be loaded"):
        measure(experiment(model=str(folder), weights="pretrained"))


def test_an_option_that_the_library_does_not_know_is_reported_before_the_first_run() -> None:
    config = experiment(passthrough_kwargs={"no_such_option_of_llama": 1, "foo": 2})
    messages = [finding.message for finding in checked(config).expected_failures]
    assert messages == [
        f"passthrough_kwargs has {name}, which the installed transformers does not know; "
        "correct or remove it"
        for name in ("foo", "no_such_option_of_llama")
    ]
    with pytest.raises(BackendError, match="passthrough_kwargs has foo"):
        loaded(config)


@pytest.mark.parametrize(
    "name", ["variant", "code_revision", "key_mapping", "offload_folder", "rope_theta",
             "attention_dropout", "experts_implementation", "low_cpu_mem_usage", "output_attentions"],
)  # fmt: skip
def test_an_option_that_the_library_reads_is_not_reported(name: str) -> None:
    assert checked(experiment(passthrough_kwargs={name: None})).expected_failures == ()
