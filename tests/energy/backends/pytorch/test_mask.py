"""Whether a model heeds the attention mask is found by running it, not from its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from energy.models import random_model, text_experiment
from energy.parts import experiment, loaded

from llem_config import ExperimentConfig
from llem_energy import BackendError
from llem_energy._backends.pytorch.padding import ignores_mask
from llem_energy._prompts.load import load_prompts

RWKV = {"model_type": "rwkv", "attention_hidden_size": 32}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "gpt2": {"model_type": "gpt2"},
    "bloom": {"model_type": "bloom"},
    "mixtral": {"model_type": "mixtral", "num_local_experts": 4},
    "mamba": {"model_type": "mamba"},
    "gemma2": {"model_type": "gemma2", "sliding_window": 3},
    "rwkv": RWKV,
}


def prepared(config: ExperimentConfig) -> Any:
    backend = loaded(config)
    return backend.prepare(load_prompts(config, backend.vocabulary()))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_only_a_model_that_ignores_the_mask_is_found(
    tmp_path: Path, name: str, precision: str
) -> None:
    backend = loaded(experiment(**random_model(tmp_path, **SHAPES[name]), precision=precision))
    ignored = ignores_mask(backend._model, backend.vocabulary(), backend._device)
    assert ignored == (name == "rwkv")


def test_unequal_prompts_in_a_batch_of_a_model_that_ignores_the_mask_are_refused(
    tmp_path: Path,
) -> None:
    rwkv = random_model(tmp_path, **RWKV)
    unequal = {"input_tokens": {"distribution": "uniform", "min": 2, "max": 8}}
    with pytest.raises(BackendError, match=r"ignores the attention mask.*pytorch\.batch_size: 1"):
        prepared(experiment(**rwkv, n=6, dataset=unequal))
    assert prepared(experiment(**rwkv, n=6, dataset=unequal, pytorch={"batch_size": 1})).batches
    assert prepared(experiment(**rwkv, n=6)).batches


def test_padding_is_checked_in_a_compiled_model_without_a_compilation(text_model: Any) -> None:
    options = {"batch_size": 4, "torch_compile": True, "torch_compile_backend": "eager"}
    config = text_experiment(text_model, pytorch=options)
    backend = loaded(config)
    assert backend.prepare(load_prompts(config, backend.vocabulary())).batches
    assert backend.compilations() == 0
