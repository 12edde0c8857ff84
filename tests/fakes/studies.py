"""Small studies for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llem_config import ExecutionConfig, ExperimentConfig, StudyConfig

TINY: dict[str, Any] = {
    "model": "builtin:tiny-llama",
    "precision": "fp32",
    "n": 4,
    "max_input_tokens": 8,
    "max_output_tokens": 4,
    "pytorch": {"device": "cpu"},
    "warmup": {"n_warmup": 1, "convergence_detection": False},
    "energy": {"min_window_seconds": 0},
}
"""The fastest real experiment."""


def experiment(**fields: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate({**TINY, **fields})


def study(ns: Sequence[int] = (1, 2), **execution: Any) -> StudyConfig:
    """Return a study of one point per `n` without gaps, in the order of `ns` if none is given."""
    defaults = {"config_gap_seconds": 0.0, "cycle_gap_seconds": 0.0, "cycle_order": "sequential"}
    return StudyConfig(
        name="test",
        experiments=tuple(experiment(n=n) for n in ns),
        execution=ExecutionConfig.model_validate({**defaults, **execution}),
    )


def model_folder(folder: Path) -> str:
    """Return a folder that looks like a model, for stand-ins that write files beside it."""
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    header = b"{}"  # of a file of weights without a tensor
    (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return str(model)


def only_folder(results: Path) -> Path:
    """Return the folder of the only study in `results`."""
    # Where Python may not write compiled files beside a library, runs keep them in the cache of llem.
    (folder,) = (each for each in results.iterdir() if each.name != "cache")
    return folder
