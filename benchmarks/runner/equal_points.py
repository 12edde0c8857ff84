"""A study whose points all take the same time, with a tiny model on the CPU."""

from __future__ import annotations

from typing import Any

from llem_config import ExecutionConfig, ExperimentConfig, StudyConfig

POINT = {
    "model": "builtin:tiny-llama",
    "precision": "fp32",
    "n": 4,
    "max_input_tokens": 16,
    "max_output_tokens": 16,
    "pytorch": {"device": "cpu"},
    "warmup": {"n_warmup": 1, "convergence_detection": False},
    "baseline": {"enabled": False},
    "energy": {"min_window_seconds": 1.0},
}


def study(n_points: int, **execution: Any) -> StudyConfig:
    """Return a study of `n_points` points that all take the same time."""
    points = [
        ExperimentConfig.model_validate({**POINT, "random_seed": seed}) for seed in range(n_points)
    ]
    return StudyConfig(
        experiments=tuple(points), execution=ExecutionConfig.model_validate(execution)
    )
