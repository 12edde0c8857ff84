"""Logits that are no numbers fail the run; the check changes nothing and never waits in the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from energy.parts import experiment, loaded

from llem_energy import BackendError, measure
from llem_energy._backends.pytorch.logits_check import LogitsCheck

DECODERS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"decoder": {"temperature": 0.8, "top_k": 5, "top_p": 0.9, "min_p": 0.01}},
    "beams": {"pytorch": {"num_beams": 2}},
    "compiled": {"pytorch": {"torch_compile": True, "torch_compile_backend": "eager"}},
    "static cache": {"pytorch": {"cache_implementation": "static"}},
    "drafts": {"pytorch": {"batch_size": 1, "prompt_lookup_num_tokens": 2}},
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of the built-in tiny Llama with one weight of its last layer that is NaN."""
    folder = tmp_path_factory.mktemp("broken")
    model = loaded(experiment())._model
    with torch.no_grad():
        model.model.layers[-1].mlp.down_proj.weight[3, 5] = float("nan")
    model.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("changes", DECODERS.values(), ids=DECODERS)
def test_a_model_with_nan_in_its_weights_fails_the_run(
    broken: str, changes: dict[str, Any]
) -> None:
    config = experiment(model=broken, weights="pretrained", **changes)
    with pytest.raises(BackendError) as caught:
        measure(config)
    message = str(caught.value)
    assert message.startswith(f"expected finite logits of model {broken}, found NaN or infinity")
    assert "in precision fp32 (weights in float32, attention sdpa" in message
    assert "try" in message
    assert "\n" not in message


def test_without_a_warm_up_the_window_fails(broken: str) -> None:
    config = experiment(model=broken, weights="pretrained", warmup={"enabled": False})
    with pytest.raises(BackendError, match="expected finite logits"):
        measure(config)


def test_numbers_beyond_fp16_fail_with_the_advice_to_use_bf16(tmp_path: Path) -> None:
    model = loaded(experiment())._model
    with torch.no_grad():
        model.lm_head.weight *= 60000 / model.lm_head.weight.abs().max()
        model.model.norm.weight *= 1000
    model.save_pretrained(tmp_path)
    sound = experiment(model=str(tmp_path), weights="pretrained", precision="bf16")
    assert measure(sound).output_tokens > 0
    too_large = experiment(model=str(tmp_path), weights="pretrained", precision="fp16")
    with pytest.raises(BackendError, match="try precision: bf16, because fp16 ends at 65504"):
        measure(too_large)


@pytest.mark.parametrize(
    ("row", "passes"),
    [
        ([0.5, -1.0, 2.0], True),
        ([0.5, float("-inf"), 2.0], True),  # a token that may not be chosen
        ([0.5, float("nan"), 2.0], False),
        ([0.5, float("inf"), 2.0], False),
        ([float("-inf")] * 3, False),
        ([3e38, 3e38, 3e38], True),
    ],
)
@pytest.mark.parametrize("is_sampled", [False, True])
def test_one_broken_row_of_one_step_is_remembered(
    row: list[float], passes: bool, is_sampled: bool
) -> None:
    check = LogitsCheck(is_sampled=is_sampled)
    good = torch.tensor([[1.0, 2.0, 3.0]] * 2)
    mixed = torch.tensor([[1.0, 2.0, 3.0], row])
    assert torch.equal(check(None, good), good)
    given = check(None, mixed)
    check(None, good)
    check(None, good[:1])  # fewer rows
    assert check.is_passed() is passes
    # A distribution can be drawn from in any case.
    assert not is_sampled or bool(torch.isfinite(torch.softmax(given, dim=-1)).all())
