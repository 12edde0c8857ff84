"""Only the files that the library loads are counted, whatever else is in the folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.parts import checked, experiment, loaded

from llem_config import ExperimentConfig
from llem_energy._model_info.model_ref import ModelRef
from llem_energy._model_info.stored_weights import stored_weights
from llem_energy.models import estimate_memory


def of(folder: Path, **changes: Any) -> ExperimentConfig:
    return experiment(model=str(folder), weights="pretrained", **changes)


@pytest.fixture
def unknown(text_model: Any, tmp_path: Path) -> Path:
    """Return a copy of the text model whose weights only its files can tell."""
    folder = Path(shutil.copytree(text_model.folder, tmp_path / "model"))
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**data, "model_type": "stablelm"}))
    return folder


def weights_bytes(folder: Path, **changes: Any) -> int | None:
    estimate = estimate_memory(of(folder, **changes))
    return None if estimate is None else estimate.weights_bytes


@pytest.mark.parametrize(
    "name",
    [
        "consolidated.safetensors",
        "model.fp16.safetensors",
        "adapter_model.safetensors",
        "model-00001-of-00002.safetensors",
        "original-model.safetensors",
    ],
)
def test_another_file_beside_the_weights_is_not_counted(unknown: Path, name: str) -> None:
    alone = weights_bytes(unknown)
    assert alone is not None
    shutil.copy(unknown / "model.safetensors", unknown / name)
    assert weights_bytes(unknown) == alone


def test_the_files_of_an_index_are_counted(text_model: Any, unknown: Path) -> None:
    alone = weights_bytes(unknown)
    (unknown / "model.safetensors").unlink()
    loaded(of(text_model.folder))._model.save_pretrained(unknown / "parts", max_shard_size="20kB")
    parts = [*(unknown / "parts").glob("model-*.safetensors")]
    assert len(parts) > 1
    shutil.copy(unknown / "config.json", unknown / "parts")
    assert weights_bytes(unknown / "parts") == alone
    assert checked(of(unknown / "parts")).problems == ()
    parts[0].unlink()
    assert weights_bytes(unknown / "parts") is None
    (finding,) = checked(of(unknown / "parts")).problems
    assert f"lacks 1 of its {len(parts)} files, e.g. {parts[0].name}" in finding.message


def test_the_requested_variant_is_counted_and_loaded(text_model: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(text_model.folder, tmp_path / "model"))
    weights = {name: w.half() for name, w in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.fp16.safetensors", metadata={"format": "pt"})
    half, whole = (stored_weights(ModelRef(str(folder), variant=v)) for v in ("fp16", None))
    assert half is not None
    assert whole is not None
    assert {tensor.dtype for tensor in half.values()} == {"F16"}
    assert {tensor.dtype for tensor in whole.values()} == {"F32"}
    half_config = of(folder, precision="fp16", passthrough_kwargs={"variant": "fp16"})
    assert loaded(half_config).warnings() == ()
    (finding,) = checked(of(folder, passthrough_kwargs={"variant": "int8"})).problems
    assert "its folder has no model.int8.safetensors" in finding.message


def test_the_file_that_the_configuration_names_comes_first(unknown: Path) -> None:
    from safetensors.torch import save_file
    from torch import ones

    save_file({"weight": ones(3)}, unknown / "other.safetensors")
    data = json.loads((unknown / "config.json").read_text())
    data["transformers_weights"] = "other.safetensors"
    (unknown / "config.json").write_text(json.dumps(data))
    assert weights_bytes(unknown) == 3 * 4


def test_a_folder_without_weights_is_reported_before_the_first_run(unknown: Path) -> None:
    (unknown / "model.safetensors").rename(unknown / "pytorch_model.bin")
    (finding,) = checked(of(unknown)).problems
    assert "set pytorch.use_safetensors: false" in finding.message
    assert checked(of(unknown, pytorch={"use_safetensors": False})).problems == ()
    (unknown / "pytorch_model.bin").unlink()
    (finding,) = checked(of(unknown)).problems
    assert "no model.safetensors and no index" in finding.message
    assert finding.message.endswith("; correct the path, or download the model again")
    (finding,) = checked(of(unknown, passthrough_kwargs={"variant": "fp16"})).problems
    assert "no model.fp16.safetensors and no index" in finding.message
    assert "; correct passthrough_kwargs.variant, or " in finding.message
    assert checked(experiment(model=str(unknown), weights="random")).problems == ()
