"""Sequences beyond a model's context length cause a warning, before and in the result (CM-16)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from energy.parts import checked, experiment

from llem_config import ExperimentConfig
from llem_energy import measure
from llem_energy.models import builtin_architecture

LLAMA = builtin_architecture("builtin:tiny-llama") or {}


def of(folder: Path, architecture: dict[str, Any], **changes: Any) -> ExperimentConfig:
    """Return an experiment with prompts of 8 tokens and answers of 4."""
    (folder / "config.json").write_text(json.dumps(architecture))
    return experiment(model=str(folder), weights="random", **changes)


def test_a_result_warns_of_sequences_beyond_the_context_length(tmp_path: Path) -> None:
    config = of(tmp_path, LLAMA | {"max_position_embeddings": 10})
    last_one_in = measure(config.model_copy(update={"max_output_tokens": 3}))
    assert not any("context length" in line for line in last_one_in.measurement_warnings)
    (line,) = [line for line in measure(config).measurement_warnings if "context length" in line]
    assert line.startswith("sequences of up to 12 tokens exceed the context length of ")
    assert "(10 tokens)" in line


def warnings_of(*configs: ExperimentConfig) -> list[tuple[str, tuple[int, ...]]]:
    """Return the warnings about the context length, and the points of each."""
    warnings = checked(*configs).warnings
    return [(w.message, w.points) for w in warnings if "context length" in w.message]


@pytest.mark.parametrize(
    ("architecture", "n_context"),
    [
        ({"max_position_embeddings": 10}, 10),
        ({"n_positions": 10}, 10),
        ({"text_config": {"max_position_embeddings": 10}, "max_position_embeddings": 99}, 10),
        ({"max_position_embeddings": 11}, None),
        ({"max_position_embeddings": -1}, None),
        ({}, None),
        ({"max_position_embeddings": 5, "rope_scaling": {
            "rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 5}}, 10),
        ({"max_position_embeddings": 5, "rope_parameters": {
            "rope_type": "yarn", "factor": 2.2, "original_max_position_embeddings": 5}}, None),
        ({"max_position_embeddings": 10, "rope_scaling": None}, 10),
    ],
)  # fmt: skip
def test_the_context_length_is_that_of_the_text_part_after_rope_scaling(
    tmp_path: Path, architecture: dict[str, Any], n_context: int | None
) -> None:
    warnings = warnings_of(of(tmp_path, architecture))
    assert len(warnings) == (n_context is not None)
    expected = f"of up to 12 tokens exceed the context length of {tmp_path} ({n_context} tokens)"
    assert all(expected in line for line, _ in warnings)


def test_the_warning_uses_the_longest_experiment_and_the_real_prompt_lengths(
    tmp_path: Path,
) -> None:
    tight = LLAMA | {"max_position_embeddings": 30}
    longer = of(tmp_path, tight, max_output_tokens=24)
    ((line, points),) = warnings_of(of(tmp_path, tight), longer, of(tmp_path, tight))
    assert "sequences of up to 32 tokens" in line
    assert points == (1,)
    lengths = {"input_tokens": {"distribution": "uniform", "min": 4, "max": 10}}
    limit_alone = of(tmp_path, tight, max_input_tokens=500, dataset=lengths)
    assert warnings_of(limit_alone) == []
