"""Prefill and decode, run alone and repeatedly, do exactly their part of an answer.

Hooks on the model record the tokens of every call, the length of the cache before it, and the
token with the highest score.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from energy.backends.pytorch.phases import (
    N_OUT,
    PROMPTS,
    CallRecorder,
    phase_experiment,
    prepared,
)
from energy.models import random_model
from energy.parts import experiment

from llem_energy import BackendError


def check(config: Any, prompts: Any = PROMPTS) -> tuple[Any, Any]:
    """Check that prefill and decode of a batch together give the answer of `generate`."""
    backend, batch = prepared(config, prompts)
    expected = backend.generate(batch)._ids.tolist()
    n_prompts, longest = batch.shape

    prefill = backend.phase("prefill", batch)
    assert (prefill.n_tokens, prefill.n_prompts) == (sum(batch.lengths), n_prompts)
    for _ in range(2):
        with CallRecorder(backend) as calls:
            prefill.run()
        assert calls.fed == [batch.inputs["input_ids"].tolist()]
        assert calls.cached == [0]
        assert calls.chosen == [[answer[0] for answer in expected]]

    decode = backend.phase("decode", batch)
    assert (decode.n_tokens, decode.n_prompts) == (n_prompts * (N_OUT - 1), n_prompts)
    for _ in range(5):
        with CallRecorder(backend) as calls:
            decode.run()
        assert [len(row) for call in calls.fed for row in call] == [1] * n_prompts * (N_OUT - 1)
        assert calls.cached == list(range(longest, longest + N_OUT - 1))
        assert calls.answers() == expected

    # Neither phase leaves a state that changes the next answer.
    assert backend.generate(batch)._ids.tolist() == expected
    return backend, batch


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-moe"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_prefill_and_decode_together_equal_the_answer(
    batch_size: int, attention: str, name: str
) -> None:
    options = {"batch_size": batch_size, "attn_implementation": attention}
    check(phase_experiment(model=f"builtin:{name}", pytorch=options), PROMPTS[-batch_size:])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_phases_are_correct_if_the_answers_have_many_different_tokens(
    tmp_path: Path, batch_size: int
) -> None:
    config = phase_experiment(
        **random_model(tmp_path, model_type="llama"), pytorch={"batch_size": batch_size}
    )
    backend, batch = check(config, PROMPTS[-batch_size:])
    answers = backend.generate(batch)._ids.tolist()
    assert len({token for answer in answers for token in answer}) > 3


@pytest.mark.parametrize("window", [2, 4, 8, 12, 64])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_prompt_is_restored_if_attention_has_a_window(
    tmp_path: Path, batch_size: int, window: int
) -> None:
    model = random_model(tmp_path, model_type="mistral", sliding_window=window)
    check(phase_experiment(**model, pytorch={"batch_size": batch_size}), PROMPTS[-batch_size:])


def test_layers_with_and_without_a_window_are_restored_together(tmp_path: Path) -> None:
    kinds = ["sliding_attention", "full_attention"]
    model = random_model(tmp_path, model_type="gemma3_text", sliding_window=5, layer_types=kinds)
    check(phase_experiment(**model))


def test_a_static_cache_is_restored_and_as_long_as_for_a_full_answer() -> None:
    config = phase_experiment(pytorch={"cache_implementation": "static"})
    check(config)
    backend, batch = prepared(config)  # a new backend, which has not answered before
    with CallRecorder(backend) as calls:
        backend.phase("prefill", batch).run()
        backend.phase("decode", batch).run()
        backend.generate(batch)
    assert set(calls.longest) == {batch.shape[1] + N_OUT - 1}


@pytest.mark.parametrize("window", [8, 64])
def test_a_static_cache_with_a_window_is_restored_or_refused(tmp_path: Path, window: int) -> None:
    model = random_model(tmp_path, model_type="mistral", sliding_window=window)
    config = phase_experiment(**model, pytorch={"cache_implementation": "static"})
    if window == 64:
        check(config)
        return
    backend, batch = prepared(config)
    with pytest.raises(BackendError, match="needs prompt and output within the model's sliding"):
        backend.phase("decode", batch)


def test_decode_is_refused_if_a_state_is_overwritten_in_place(tmp_path: Path) -> None:
    model = random_model(tmp_path, model_type="lfm2", layer_types=["conv", "full_attention"])
    backend, batch = prepared(phase_experiment(**model))
    with pytest.raises(BackendError, match="can be restored exactly, found LinearAttentionLayer"):
        backend.phase("decode", batch)
    backend.phase("prefill", batch).run()


def test_a_compiled_model_runs_its_phases_compiled() -> None:
    compiled = {"torch_compile": True, "torch_compile_backend": "eager"}
    backend, _ = check(phase_experiment(pytorch=compiled))
    assert backend.effective_config()["compiled"] is True


def test_decode_continues_after_the_end_token(text_model: Any) -> None:
    fields = {"model": str(text_model.folder), "weights": "pretrained", "max_output_tokens": 12}
    ending = {"ignore_eos": False, "min_new_tokens": 9}
    backend, batch = prepared(experiment(**fields, decoder=ending), [(4, 5), (6, 7, 8)])
    decode = backend.phase("decode", batch)
    with CallRecorder(backend) as calls:
        decode.run()
        backend.phase("prefill", batch).run()
    assert decode.n_tokens == 2 * 11
    assert [len(call[0]) for call in calls.fed] == [1] * 11 + [3]


def test_penalties_in_decode_include_the_prompt() -> None:
    plain, batch = prepared(phase_experiment())
    penalties = {"decoder": {"repetition_penalty": 1.5}, "pytorch": {"no_repeat_ngram_size": 2}}
    backend, batch = prepared(phase_experiment(**penalties))
    expected = backend.generate(batch)._ids.tolist()
    assert expected != plain.generate(batch)._ids.tolist()
    decode = backend.phase("decode", batch)
    with CallRecorder(backend) as calls:
        decode.run()
    steps = [list(step) for step in zip(*expected, strict=True)]
    assert [[row[0] for row in call] for call in calls.fed] == steps[:-1]


def test_the_seed_reaches_the_sampling_of_both_phases(tmp_path: Path) -> None:
    model = random_model(tmp_path, model_type="llama", initializer_range=0.1)

    def sampled(seed: int) -> list[list[list[int]]]:
        config = phase_experiment(**model, random_seed=seed, decoder={"temperature": 1.0})
        backend, batch = prepared(config)
        decode = backend.phase("decode", batch)
        backend.seed()
        with CallRecorder(backend) as calls:
            decode.run()
            decode.run()
        return calls.fed

    assert sampled(1) == sampled(1) != sampled(2)
    first, second = sampled(1)[: N_OUT - 1], sampled(1)[N_OUT - 1 :]
    assert first != second


def test_prefill_reads_every_beam_at_once_and_decode_is_refused() -> None:
    backend, batch = prepared(phase_experiment(pytorch={"num_beams": 3}))
    with CallRecorder(backend) as calls:
        backend.phase("prefill", batch).run()
    assert [len(call) for call in calls.fed] == [3 * batch.n_prompts]
    with pytest.raises(BackendError, match="decode does not work with num_beams > 1"):
        backend.phase("decode", batch)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_output_tokens": 1}, "decode needs max_output_tokens >= 2"),
        ({"pytorch": {"use_cache": False}}, "decode needs the cache"),
    ],
    ids=str,
)
def test_prefill_runs_where_decode_is_refused_with_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    backend, batch = prepared(phase_experiment(**changes))
    with CallRecorder(backend) as calls:
        backend.phase("prefill", batch).run()
    assert calls.fed == [batch.inputs["input_ids"].tolist()]
    with pytest.raises(BackendError, match=reason):
        backend.phase("decode", batch)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_phases_of_assisted_decoding_are_refused(phase: str) -> None:
    options = {"batch_size": 1, "prompt_lookup_num_tokens": 3}
    backend, batch = prepared(phase_experiment(pytorch=options))
    with pytest.raises(BackendError, match=f"{phase} does not work with assisted decoding"):
        backend.phase(phase, batch)
