"""A measurement opens the files beside the study file and records them as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from energy.models import random_model

from llem_config import ExperimentConfig, load_study, measurement_config_hash
from llem_energy import measure
from llem_energy.models import estimate_memory


def test_a_model_beside_the_study_file_is_measured_from_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    full = ExperimentConfig.model_validate(random_model(folder, model_type="llama"))
    path = tmp_path / "study.yaml"
    path.write_text(
        "model: ./mine\nweights: random\nprecision: fp32\nn: 2\nmax_input_tokens: 8\n"
        "max_output_tokens: 4\npytorch: {device: cpu}\nbaseline: {enabled: false}\n"
        "warmup: {enabled: false}\nenergy: {sources: [none], min_window_seconds: 0}\n"
    )
    monkeypatch.chdir("/")
    (config,) = load_study(path).experiments
    result = measure(config)
    assert result.output_tokens == 8
    assert result.config["model"] == "./mine"
    assert "paths" not in result.config
    assert result.measurement_config_hash == measurement_config_hash(config)
    estimate = estimate_memory(config.model_copy(update={"precision": full.precision}))
    assert estimate is not None
    assert result.memory_estimate is not None
    assert result.memory_estimate.weights_bytes == 2 * estimate.weights_bytes  # fp32 and bf16
