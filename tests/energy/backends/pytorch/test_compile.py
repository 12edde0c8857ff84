"""Compilation inside the window is a warning; too many compilations are an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from energy.models import random_model, text_experiment
from energy.parts import experiment, loaded, merged

from llem_config import ExperimentConfig
from llem_energy import BackendError, ExperimentResult, measure

COMPILED = {"torch_compile": True, "torch_compile_backend": "eager"}


def small(folder: Path, **changes: Any) -> ExperimentConfig:
    """Return an experiment on a compiled model of one layer."""
    base = {**random_model(folder, model_type="llama", num_hidden_layers=1), "pytorch": COMPILED}
    return experiment(**merged(base, changes))


def compile_warnings(result: ExperimentResult) -> list[str]:
    return [warning for warning in result.measurement_warnings if "compiled" in warning]


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_nothing_is_compiled_inside_the_window(text_model: Any, cache: str) -> None:
    # Batches of several lengths; the last batch has another size.
    options = {**COMPILED, "batch_size": 2, "cache_implementation": cache}
    result = measure(text_experiment(text_model, n=3, pytorch=options, max_output_tokens=3))
    assert result.effective_config["n_compilations"] > 0
    assert compile_warnings(result) == []


def test_compilation_inside_the_window_is_a_warning(tmp_path: Path) -> None:
    result = measure(small(tmp_path, n=2, warmup={"enabled": False}))
    (warning,) = compile_warnings(result)
    n_compilations = result.effective_config["n_compilations"]
    assert warning.startswith(f"code was compiled {n_compilations} times inside the window")


def test_a_model_compiled_too_often_is_an_error(tmp_path: Path) -> None:
    backend = loaded(small(tmp_path))
    batches = backend.prepare([(9, 10), (9, 10, 11), (9,)]).batches
    with (
        torch._dynamo.config.patch(recompile_limit=1),
        pytest.raises(BackendError, match="generation failed: the model was compiled 1 times"),
    ):
        for batch in batches:
            backend.generate(batch)
    backend.close()


def test_a_model_is_compiled_regardless_of_earlier_models(tmp_path: Path) -> None:
    counts = []
    for _ in range(2):
        backend = loaded(small(tmp_path))
        backend.generate(*backend.prepare([(9, 10), (9, 10)]).batches)
        counts.append(backend.compilations())
        backend.close()
    assert counts[0] == counts[1] > 0


def test_an_unknown_compiler_is_an_error_and_torch_keeps_its_settings(tmp_path: Path) -> None:
    config, handler = torch._dynamo.config, torch._dynamo.callback.callback_handler
    before = (config.recompile_limit, config.fail_on_recompile_limit_hit)
    with pytest.raises(BackendError, match="cannot be compiled: Invalid backend: 'inductr'"):
        measure(small(tmp_path, pytorch={"torch_compile_backend": "inductr"}))
    assert (config.recompile_limit, config.fail_on_recompile_limit_hit) == before
    assert handler.start_callbacks == []
