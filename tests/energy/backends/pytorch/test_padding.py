"""Padding is masked, so every id of the vocabulary does for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.models import text_experiment
from energy.parts import answers


@pytest.mark.parametrize("weights", ["pretrained", "random"])
@pytest.mark.parametrize("pad_id", [-1, 44, 10**6, None])
def test_a_padding_id_outside_the_vocabulary_changes_no_answer(
    text_model: Any, tmp_path: Path, pad_id: int | None, weights: str
) -> None:
    folder = Path(shutil.copytree(text_model.folder, tmp_path / "model"))
    expected = answers(text_experiment(text_model, weights=weights, pytorch={"batch_size": 4}))
    for name in ("config.json", "generation_config.json"):
        data = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(data | {"pad_token_id": pad_id}))
    changed = text_model._replace(folder=folder)
    found = answers(text_experiment(changed, weights=weights, pytorch={"batch_size": 4}))
    assert found == expected
