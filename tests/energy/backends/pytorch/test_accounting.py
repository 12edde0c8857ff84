"""Token counts equal those of a slow loop, and every request has a row (RES-06, CM-17..22)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from energy.models import text_experiment
from energy.parts import experiment, loaded

from llem_config import ExperimentConfig
from llem_energy import ExperimentResult, measure
from llem_energy._prompts.load import load_prompts
from llem_energy.records import encode_result

N_CASES = 24
Slow = Callable[[Sequence[int], int, Sequence[int] | None, int], list[int]]


class Case(NamedTuple):
    """One random experiment: its prompts differ in length, its answers end at different places."""

    config: ExperimentConfig
    end_ids: list[int]


@pytest.fixture(scope="module")
def slow(text_model: Any) -> Slow:
    """Return a loop that answers one prompt alone, step by step and without a cache.

    It follows the definition of an answer: the most likely token at each step. End tokens are
    excluded until the answer has the minimum length; then it stops at the first end token.
    """
    import torch
    import transformers

    model = transformers.LlamaForCausalLM.from_pretrained(text_model.folder, dtype=torch.float32)
    cached: dict[tuple[int, ...], Any] = {}

    def next_scores(ids: tuple[int, ...]) -> Any:
        if ids not in cached:
            with torch.inference_mode():
                cached[ids] = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        return cached[ids]

    def answer(
        prompt: Sequence[int], max_tokens: int, end_ids: Sequence[int] | None, min_tokens: int
    ) -> list[int]:
        tokens: list[int] = []
        while len(tokens) < max_tokens and (not end_ids or not tokens or tokens[-1] not in end_ids):
            scores = next_scores((*prompt, *tokens)).clone()
            if end_ids and len(tokens) < min_tokens:
                scores[list(end_ids)] = float("-inf")
            tokens.append(int(scores.argmax()))
        return tokens

    return answer


def cases(model: Any) -> list[Case]:
    draw = random.Random(5)
    drawn = []
    for number in range(N_CASES):
        max_tokens = draw.randint(1, 14)
        longest = draw.randint(1, 20)
        lengths = {"distribution": "uniform", "max": longest}
        config = experiment(
            model=str(model.folder),
            weights="pretrained",
            dataset={"input_tokens": lengths},
            n=draw.randint(1, 9),
            max_input_tokens=longest,
            max_output_tokens=max_tokens,
            random_seed=number,
            decoder={
                "ignore_eos": number % 4 == 0,
                "min_new_tokens": draw.choice([None, draw.randint(1, max_tokens)]),
            },
            pytorch={
                "batch_size": draw.randint(1, 5),
                "batching": draw.choice(["static", "sorted"]),
            },
        )
        drawn.append(Case(config, draw.sample(range(44), draw.randint(1, 12))))
    return drawn


def test_tokens_and_counts_equal_those_of_a_slow_reference_loop(
    text_model: Any, slow: Slow
) -> None:
    n_early = n_delayed = 0
    for config, end_ids in cases(text_model):
        backend = loaded(config)
        # Several end tokens instead of that of the folder, as published models have them.
        ends = None if config.decoder.ignore_eos else end_ids
        backend._generation.eos_token_id = ends
        prompts = [tuple(p) for p in load_prompts(config, backend.vocabulary())]
        workload = backend.prepare(prompts)
        indices = []
        for batch in workload.batches:
            answer = backend.generate(batch)
            rows = answer._ids.tolist()
            answers = zip(batch.prompt_indices, batch.lengths, answer.n_tokens(), rows, strict=True)
            for index, n_in, n_out, row in answers:
                min_tokens = config.decoder.min_new_tokens or 0
                expected = slow(prompts[index], config.max_output_tokens, ends, min_tokens)
                assert row[:n_out] == expected, (config, end_ids, index)
                assert n_in == len(prompts[index])
                n_early += n_out < config.max_output_tokens
                n_delayed += bool(ends) and min_tokens > 0 and n_out >= min_tokens
                indices.append(index)
        assert sorted(indices) == list(range(config.n))
    assert n_early > 20  # else no early end was tested
    assert n_delayed > 20


def rows(tmp_path: Path, **changes: Any) -> tuple[ExperimentResult, list[dict[str, Any]]]:
    result = measure(experiment(**changes), timeseries=tmp_path / "timeseries.parquet")
    assert result.requests_file == "requests.parquet"
    return result, pq.read_table(tmp_path / "requests.parquet").to_pylist()


def test_every_request_of_the_window_has_a_row_that_adds_up_to_the_totals(tmp_path: Path) -> None:
    lengths = {"distribution": "uniform", "min": 2, "max": 8}
    workload: dict[str, Any] = {
        "n": 5, "dataset": {"input_tokens": lengths}, "pytorch": {"batching": "sorted"},
    }  # fmt: skip
    once = measure(experiment(**workload, energy={"min_window_seconds": 0}))
    min_window_s = 20 * once.window_s  # so that the workload is repeated on any machine
    result, requests = rows(tmp_path, **workload, energy={"min_window_seconds": min_window_s})
    assert len(requests) == 5 * result.n_repeats > 5
    assert sum(row["input_tokens"] for row in requests) == result.input_tokens
    assert sum(row["output_tokens"] for row in requests) == result.output_tokens
    prompts = load_prompts(experiment(n=5, dataset={"input_tokens": lengths}), range(8, 100))
    assert len({len(prompt) for prompt in prompts}) > 1
    for number in range(result.n_repeats):
        turn = requests[number * 5 : number * 5 + 5]
        assert [row["repeat"] for row in turn] == [number + 1] * 5
        assert [row["batch"] for row in turn] == [1, 1, 2, 2, 3]
        assert sorted(row["prompt"] for row in turn) == [1, 2, 3, 4, 5]
        for row in turn:
            assert row["input_tokens"] == len(prompts[row["prompt"] - 1])


def test_the_latencies_of_a_request_follow_from_its_tokens(text_model: Any, tmp_path: Path) -> None:
    config = text_experiment(text_model, decoder={"ignore_eos": False}, pytorch={"batch_size": 7})
    result = measure(config, timeseries=tmp_path / "timeseries.parquet")
    requests = pq.read_table(tmp_path / "requests.parquet").to_pylist()
    assert len({row["output_tokens"] for row in requests}) >= 3
    latencies = {row["output_tokens"]: row["latency_s"] for row in requests}
    ordered = [latencies[n] for n in sorted(latencies)]
    # One batch: longer answers end later, and answers of the same length end at the same time.
    assert ordered == sorted(set(ordered))
    assert all(row["latency_s"] == latencies[row["output_tokens"]] for row in requests)
    assert len({row["time_to_first_token_s"] for row in requests}) == 1
    for row in requests:
        n_between = row["output_tokens"] - 1
        spent_s = row["time_to_first_token_s"] + n_between * (row["inter_token_mean_s"] or 0.0)
        assert spent_s == pytest.approx(row["latency_s"])
        assert row["latency_s"] <= result.window_s


def test_latencies_that_cannot_be_measured_are_missing(
    tmp_path: Path,
) -> None:
    _, requests = rows(tmp_path, max_output_tokens=1)
    assert {row["inter_token_mean_s"] for row in requests} == {None}
    assert all(row["latency_s"] == row["time_to_first_token_s"] > 0 for row in requests)
    _, requests = rows(tmp_path, pytorch={"batch_size": 1, "prompt_lookup_num_tokens": 2})
    assert {(row["latency_s"], row["time_to_first_token_s"]) for row in requests} == {(None, None)}


def test_requests_are_not_in_the_result_and_written_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = measure(experiment(n=2))
    many = measure(experiment(n=40))
    assert abs(len(encode_result(many)) - len(encode_result(few))) < 200
    assert few.requests_file is None
    assert list(tmp_path.iterdir()) == []


def test_a_requests_file_that_cannot_be_written_is_only_a_warning(tmp_path: Path) -> None:
    result = measure(experiment(), timeseries=tmp_path / "gone" / "timeseries.parquet")
    assert result.requests_file is None
    assert result.output_tokens == 3 * 4
    assert any("the requests could not be written" in w for w in result.measurement_warnings)
