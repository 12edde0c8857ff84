"""Sources of models; their code and pickles run only on request (CFG-08, pitfall 38)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from energy.parts import experiment, loaded, run_python
from pydantic import ValidationError

from llem_config import ExperimentConfig
from llem_energy import BackendError, measure
from llem_energy._backends.pytorch.loading import load_architecture
from llem_energy.models import builtin_architecture, builtin_names
from llem_energy.preflight import check_files
from llem_energy.records import encode_result

_FROM_CACHE = """
import json, sys
from llem_config import ExperimentConfig
from llem_energy.records import encode_result
from llem_energy import measure
from llem_energy.preflight import check, find_machine
config = ExperimentConfig.model_validate_json(sys.argv[1])
assert check([config], find_machine()).problems == ()
print(encode_result(measure(config)).decode())
"""
_CODE = """
import sys
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
sys.own_code_ran = True
"""
SECRET = "hf_secretForThisTest"


def of(folder: Path, **changes: Any) -> ExperimentConfig:
    base: dict[str, Any] = {"model": str(folder), "weights": "pretrained"}
    return experiment(**(base | changes))


@pytest.fixture
def copy(text_model: Any, tmp_path: Path) -> Path:
    """Return a copy of the text model's folder that a test may change."""
    return Path(shutil.copytree(text_model.folder, tmp_path / "model"))


def test_a_cached_model_loads_without_network_and_no_token_is_stored(
    text_model: Any, tmp_path: Path
) -> None:
    repository = tmp_path / "hub" / "models--someone--model"
    shutil.copytree(text_model.folder, repository / "snapshots" / "0123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    config = of(Path("x"), model="someone/model", dataset=str(text_model.prompts))
    # Without HF_HUB_OFFLINE, cached files are not requested. No server listens at this address.
    env = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": SECRET}
    printed = run_python(_FROM_CACHE, config.model_dump_json(), env=env)
    assert json.loads(printed)["output_tokens"] == 3 * 4
    assert SECRET not in printed


def test_a_snapshot_in_the_cache_can_be_used_as_a_model_folder(
    text_model: Any, tmp_path: Path
) -> None:
    blobs = tmp_path / "models--someone--model" / "blobs"
    snapshot = tmp_path / "models--someone--model" / "snapshots" / "0123"
    shutil.copytree(text_model.folder, blobs)
    snapshot.mkdir(parents=True)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", file.name))
    assert measure(of(snapshot)).output_tokens == 3 * 4


def test_random_weights_need_only_the_configuration(text_model: Any, tmp_path: Path) -> None:
    shutil.copy(text_model.folder / "config.json", tmp_path)
    with pytest.raises(BackendError, match="cannot be loaded"):
        loaded(of(tmp_path))
    result = measure(of(tmp_path, weights="random"))
    assert result.output_tokens == 3 * 4
    assert result.effective_config["n_parameters"] == sum(
        p.numel() for p in loaded(of(text_model.folder))._model.parameters()
    )


def test_a_study_file_accepts_the_builtin_models_and_no_others() -> None:
    assert all(experiment(model=f"builtin:{name}") for name in builtin_names())
    with pytest.raises(ValidationError) as caught:
        experiment(model="builtin:")
    assert f"builtin models {', '.join(builtin_names())}, found" in str(caught.value)


@pytest.mark.parametrize("name", builtin_names())
def test_transformers_knows_the_architecture_of_every_builtin(name: str) -> None:
    published = builtin_architecture(f"builtin:{name}")
    assert published is not None
    architecture = load_architecture(experiment(model=f"builtin:{name}"))
    assert {key: getattr(architecture, key) for key in published if key != "rope_parameters"} == {
        key: value for key, value in published.items() if key != "rope_parameters"
    }


def test_pickled_weights_are_loaded_only_on_request(copy: Path) -> None:
    import torch
    from safetensors.torch import load_file

    weights = load_file(copy / "model.safetensors")
    torch.save(weights, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(BackendError, match="cannot be loaded"):
        loaded(of(copy))
    config = of(copy, pytorch={"use_safetensors": False})
    model = loaded(config)._model
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(dict(model.named_parameters())[name], weights[name])
    warnings = measure(config).measurement_warnings
    assert any("pickle" in warning for warning in warnings)


def test_a_checkpoint_that_lacks_weights_is_refused(copy: Path) -> None:
    """The library would draw them at random, and the results would claim the pretrained model."""
    import torch
    from safetensors.torch import load_file, save_file

    from llem_energy._backends.pytorch.loading import load_model

    weights = load_file(copy / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    (finding,) = check_files([of(copy)])
    assert finding.message == (
        f"model {str(copy)!r} cannot be loaded: config.json describes 21,408 weights, but its files "
        "have 19,360; correct config.json, or download the model again"
    )
    with pytest.raises(
        BackendError, match=r"lack 1 of its weights, e\.g\. model\.layers\.1\.mlp\.up_proj\.weight"
    ):
        load_model(of(copy), torch.device("cpu"))


def test_code_of_a_model_runs_only_on_request_and_causes_a_warning(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    (copy / "own.py").write_text(_CODE)
    data = json.loads((copy / "config.json").read_text())
    data["model_type"] = "own"
    data["auto_map"] = {
        "AutoConfig": "own.OwnConfig",
        "AutoModelForCausalLM": "own.OwnForCausalLM",
    }
    (copy / "config.json").write_text(json.dumps(data))
    with pytest.raises(BackendError, match="cannot be used"):
        load_architecture(of(copy))
    with pytest.raises(BackendError, match="trust_remote_code: true"):
        loaded(of(copy))
    assert not hasattr(sys, "own_code_ran")
    result = measure(of(copy, pytorch={"trust_remote_code": True}))
    assert hasattr(sys, "own_code_ran")
    del sys.own_code_ran
    assert result.effective_config["architecture"] == "OwnForCausalLM"
    assert any("trust_remote_code" in warning for warning in result.measurement_warnings)


def test_a_token_in_the_environment_is_in_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    assert SECRET.encode() not in encode_result(measure(experiment()))
