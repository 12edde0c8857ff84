"""Whether the data were random is in the result, as fields, a warning and an error that is unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from energy.models import text_experiment
from energy.parts import experiment

from llem_energy import measure
from llem_energy._result.data_realism import DataRealism, data_realism, random_data_caveat
from llem_energy.records import ErrorBudget

BUDGET = ErrorBudget(edge_bound_j=1.0, sampling_j=None, gain_share=0.05)


@pytest.mark.parametrize(
    ("weights", "tokens", "start"),
    [
        ("random", "random ids", "weights and tokens are random: "),
        ("random", "text", "the weights are random: "),
        ("trained", "random ids", "the tokens are random: "),
    ],
)
def test_random_data_are_a_warning_and_an_unknown_error(
    weights: Any, tokens: Any, start: str
) -> None:
    realism = DataRealism(weights=weights, tokens=tokens, chat_template=False, ends="own")
    (warning,) = realism.warnings(has_energy=True)
    assert warning.startswith(start)
    assert "these joules are those of random data" in warning
    (warning,) = realism.warnings(has_energy=False)
    assert warning.startswith(start)
    assert "joule" not in warning
    budget = realism.in_budget(BUDGET)
    assert budget is not None
    assert budget.data_share is None
    assert start.removesuffix(": ") in (budget.data_reason or "")
    assert budget.edge_bound_j == 1.0


def test_real_data_have_no_warning_and_no_error() -> None:
    realism = DataRealism(weights="trained", tokens="text", chat_template=True, ends="own")
    assert not [*realism.warnings(has_energy=True), *realism.warnings(has_energy=False)]
    budget = realism.in_budget(BUDGET)
    assert budget is not None
    assert (budget.data_share, budget.data_reason) == (0.0, None)
    assert realism.in_budget(None) is None


def test_a_result_states_its_data(text_model: Any, tmp_path: Path) -> None:
    quiet = {"energy": {"sources": ["none"]}, "decoder": {"ignore_eos": False}}
    real = measure(text_experiment(text_model, **quiet))
    assert real.data_realism == DataRealism(
        weights="trained", tokens="text", chat_template=False, ends="own"
    )
    assert not any("random" in text for text in real.measurement_warnings)
    drawn = measure(experiment(energy={"sources": ["none"]}))
    assert drawn.data_realism == DataRealism(
        weights="random", tokens="random ids", chat_template=False, ends="forced"
    )
    (warning,) = (text for text in drawn.measurement_warnings if "are random: power" in text)
    assert warning.endswith("do not publish this speed as the model's")
    assert "the random weights are drawn from seed 42" in drawn.reproducibility_notes


@pytest.mark.parametrize(
    ("decoder", "ends"),
    [
        ({}, "forced"),
        ({"ignore_eos": False}, "own"),
        ({"ignore_eos": False, "min_new_tokens": 4}, "forced"),
        ({"ignore_eos": False, "min_new_tokens": 3}, "own"),
    ],
)
def test_outputs_end_by_themselves_or_are_forced_to_a_length(decoder: Any, ends: str) -> None:
    config = experiment(max_output_tokens=4, decoder=decoder)
    assert data_realism(config, has_template=False).ends == ends


def test_ratios_of_precisions_with_random_weights_have_a_caveat() -> None:
    drawn = [{"weights": "random", "precision": name} for name in ("fp32", "bf16")]
    assert "differ in precision" in (random_data_caveat(drawn) or "")
    assert random_data_caveat(drawn[:1] * 2) is None
    assert random_data_caveat([each | {"weights": "pretrained"} for each in drawn]) is None


def test_weights_in_fewer_bits_are_another_precision() -> None:
    plain = {"weights": "random", "precision": "bf16", "pytorch": {"batch_size": 1}}
    packed = plain | {"pytorch": {"batch_size": 1, "load_in_4bit": True}}
    assert "differ in precision" in (random_data_caveat([plain, packed]) or "")
    other = plain | {"pytorch": {"batch_size": 8, "load_in_4bit": None}}
    assert random_data_caveat([plain, other]) is None


def test_options_that_are_passed_on_to_a_library_are_seen_too() -> None:
    plain = {"weights": "random", "precision": "bf16", "pytorch": {"model_kwargs": {"x": 1}}}
    packed = plain | {"pytorch": {"model_kwargs": {"quantization_config": {"bits": 4}}}}
    assert "differ in precision" in (random_data_caveat([plain, packed]) or "")
    assert random_data_caveat([plain, plain | {"pytorch": {}}]) is None
