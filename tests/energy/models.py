"""Small models in folders, and the experiments on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from energy.parts import experiment

from llem_config import ExperimentConfig

SMALL_ARCHITECTURE: dict[str, Any] = {
    "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 6,
    "num_attention_heads": 6, "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip


def random_model(folder: Path, **architecture: Any) -> dict[str, Any]:
    """Return the fields of an experiment on a small random model of this architecture."""
    small = {
        "vocab_size": 256, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.5,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(small | architecture))
    return {"model": str(folder), "weights": "random"}


def text_experiment(model: Any, **changes: Any) -> ExperimentConfig:
    """Return an experiment over the seven texts of the text model."""
    base: dict[str, Any] = {
        "model": str(model.folder),
        "weights": "pretrained",
        "dataset": str(model.prompts),
        "n": len(model.texts),
        "max_input_tokens": 64,
        "max_output_tokens": 12,
    }
    return experiment(**(base | changes))
