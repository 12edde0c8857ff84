"""A result has the digest of what was loaded, and a change while it is loaded fails the run."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.models import text_experiment

from llem_energy import MeasurementError, measure


@pytest.fixture
def model(text_model: Any, tmp_path: Path) -> Any:
    folder = Path(shutil.copytree(text_model.folder, tmp_path / "model"))
    return text_model._replace(folder=folder, prompts=folder / "prompts.jsonl")


def test_a_result_has_the_digest_of_model_and_data_set(model: Any) -> None:
    result = measure(text_experiment(model))
    loaded, data = result.inputs
    files = {file.name: file for file in loaded.files}
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        content = (model.folder / name).read_bytes()
        assert files[name].sha256 == hashlib.sha256(content).hexdigest()
        assert files[name].n_bytes == len(content)
    assert [file.name for file in data.files] == ["prompts.jsonl"]


def test_a_change_while_the_model_is_loaded_fails_the_run(model: Any) -> None:
    config = json.loads((model.folder / "tokenizer_config.json").read_text())

    def change(stage: str) -> None:
        if stage == "tokenise":  # after the model was loaded
            text = json.dumps({**config, "padding_side": "left"})
            (model.folder / "tokenizer_config.json").write_text(text)

    with pytest.raises(MeasurementError) as caught:
        measure(text_experiment(model), on_stage=change)
    assert str(caught.value) == (
        f"tokenizer_config.json of the model {model.folder} changed while the run read it; run it "
        "again when no other program writes to these files"
    )
