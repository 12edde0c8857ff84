"""Token counts are exact for all batches, paddings and end tokens (RES-06, CM-17..22)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from energy.models import text_experiment
from energy.parts import answers, experiment, loaded

from llem_energy import BackendError, measure
from llem_energy._prompts.load import load_prompts

Alone = Callable[[int, int | None], list[list[int]]]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 8])
def test_totals_are_exact_where_the_batch_size_does_not_divide_the_prompts(batch_size: int) -> None:
    result = measure(experiment(n=7, pytorch={"batch_size": batch_size}))
    assert result.n_prompts == 7
    assert result.input_tokens == 7 * 8
    assert result.output_tokens == 7 * 4
    assert result.tokens_per_second == pytest.approx(28 / result.window_s)


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_padding_is_on_the_left_and_changes_no_answer(
    text_model: Any, alone: Alone, batch_size: int
) -> None:
    config = text_experiment(text_model, pytorch={"batch_size": batch_size})
    backend = loaded(config)
    workload = backend.prepare(load_prompts(config, backend.vocabulary()))
    rows = [row for batch in workload.batches for row in backend.generate(batch)._ids.tolist()]
    assert rows == alone(12, None)
    assert [n for batch in workload.batches for n in batch.lengths] == [
        len(text.split()) for text in text_model.texts
    ]
    for batch in workload.batches:
        mask = batch.inputs["attention_mask"]
        assert mask[:, -1].tolist() == [1] * batch.n_prompts
        assert tuple(mask.sum(1).tolist()) == batch.lengths


def test_padding_is_never_an_input_token(text_model: Any) -> None:
    result = measure(text_experiment(text_model, pytorch={"batch_size": 7}))
    assert result.input_tokens == sum(len(text.split()) for text in text_model.texts)
    assert result.output_tokens == 7 * 12


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_tokens_after_the_end_token_are_not_counted(
    text_model: Any, alone: Alone, batch_size: int
) -> None:
    config = text_experiment(
        text_model, decoder={"ignore_eos": False}, pytorch={"batch_size": batch_size}
    )
    counts = [n for ns, _ in answers(config) for n in ns]
    expected = [len(answer) for answer in alone(12, text_model.end_id)]
    assert counts == expected
    assert min(counts) < 12
    assert measure(config).output_tokens == sum(expected)


def test_min_new_tokens_delays_the_end_token(text_model: Any) -> None:
    decoder = {"ignore_eos": False, "min_new_tokens": 9}
    counts = [n for ns, _ in answers(text_experiment(text_model, decoder=decoder)) for n in ns]
    assert min(counts) >= 9


def test_the_same_seed_samples_the_same_tokens_and_another_seed_others(text_model: Any) -> None:
    def tokens(seed: int) -> list[tuple[list[int], list[int]]]:
        return answers(text_experiment(text_model, random_seed=seed, decoder={"temperature": 1.0}))

    assert tokens(1) == tokens(1)
    assert tokens(1) != tokens(2)


def test_the_seed_reaches_synthetic_prompts_and_random_weights() -> None:
    def prompts(seed: int) -> str:
        return measure(experiment(random_seed=seed)).prompts_sha256

    assert prompts(1) == prompts(1) != prompts(2)

    def weight(seed: int) -> float:
        first = next(loaded(experiment(random_seed=seed))._model.parameters())
        return float(first.detach().sum())

    assert weight(1) == weight(1) != weight(2)


def test_sorted_batches_pad_less_and_answer_the_same_prompts(text_model: Any) -> None:
    def padded(batching: str) -> tuple[int, list[int]]:
        config = text_experiment(text_model, pytorch={"batch_size": 3, "batching": batching})
        backend = loaded(config)
        workload = backend.prepare(load_prompts(config, backend.vocabulary()))
        places = sum(rows * width for rows, width in (batch.shape for batch in workload.batches))
        return places, sorted(n for batch in workload.batches for n in batch.lengths)

    static, lengths = padded("static")
    in_order, same_lengths = padded("sorted")
    assert in_order < static
    assert same_lengths == lengths


def test_long_prompts_are_cut_and_the_cut_is_counted(text_model: Any) -> None:
    result = measure(text_experiment(text_model, max_input_tokens=5))
    lengths = [len(text.split()) for text in text_model.texts]
    assert result.n_truncated_prompts == sum(n > 5 for n in lengths) > 0
    assert result.input_tokens == sum(min(n, 5) for n in lengths)
    assert any("were cut to max_input_tokens 5" in w for w in result.measurement_warnings)


def test_a_prompt_without_tokens_is_refused_with_its_row(text_model: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(text_model.folder, tmp_path / "model")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "-"}, "content": ""}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in ("w1 w2", "--")))
    with pytest.raises(BackendError, match="row 2 of the data set has no tokens in the tokenizer"):
        measure(text_experiment(text_model._replace(folder=folder), dataset=str(file), n=2))


def test_a_token_of_another_models_tokenizer_is_refused_with_its_row(
    text_model: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(text_model.folder, tmp_path / "model")
    architecture = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**architecture, "vocab_size": 10, "eos_token_id": 2})
    )
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in ("w0 w1", "w2 w9")))
    foreign = text_experiment(
        text_model._replace(folder=folder), weights="random", dataset=str(file), n=2
    )
    message = "^row 2 of the data set has the token 13 .* for the tokens 0 to 9; use the tokenizer"
    with pytest.raises(BackendError, match=message):
        measure(foreign)


def test_text_for_a_model_without_a_tokenizer_is_refused(text_model: Any) -> None:
    with pytest.raises(BackendError, match="has no tokenizer"):
        measure(experiment(dataset=str(text_model.prompts)))


def test_latencies_have_one_entry_per_batch_and_step() -> None:
    result = measure(experiment(n=5, max_output_tokens=6, energy={"min_window_seconds": 1.0}))
    n_batches = 3 * result.n_repeats
    assert result.n_repeats > 1
    assert result.time_to_first_token is not None
    assert result.inter_token_latency is not None
    assert result.time_to_first_token.n == n_batches
    assert result.inter_token_latency.n == n_batches * 5
    spent_s = n_batches * (
        result.time_to_first_token.mean_s + 5 * result.inter_token_latency.mean_s
    )
    assert 0.3 * result.window_s < spent_s <= result.window_s


def test_a_single_token_has_no_time_between_tokens() -> None:
    result = measure(experiment(max_output_tokens=1))
    assert result.time_to_first_token is not None
    assert result.inter_token_latency is None


@pytest.mark.parametrize("drafts", ["assistant_model", "prompt_lookup_num_tokens"])
@pytest.mark.parametrize("ends", [False, True])
def test_drafted_answers_are_counted_exactly(
    text_model: Any, alone: Alone, drafts: str, ends: bool
) -> None:
    # A draft may reach past the end token, or past the maximum length of the answer.
    by = {"assistant_model": str(text_model.folder), "prompt_lookup_num_tokens": 5}
    config = text_experiment(
        text_model,
        decoder={"ignore_eos": not ends},
        pytorch={"batch_size": 1, drafts: by[drafts]},
    )
    expected = alone(12, text_model.end_id if ends else None)
    generated = answers(config)
    assert [ns for ns, _ in generated] == [[len(answer)] for answer in expected]
    assert [
        row[: len(answer)] for (_, row), answer in zip(generated, expected, strict=True)
    ] == expected
